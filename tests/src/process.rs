//! Programs under test as child processes: start, wait for a line or a port, measure, stop.

use anyhow::{Context, Result, bail};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A child process whose output is kept. It is killed when dropped.
pub struct Program {
    name: String,
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Program {
    /// Starts a program and reads its standard output and error until it ends.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("can't start {name}"))?;
        let output = Arc::new(Output::default());
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(keep(stdout, Arc::clone(&output)));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(keep(stderr, Arc::clone(&output)));
        }
        Ok(Self { name: name.to_owned(), child, output, readers })
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits until a line of its output contains `text`, and returns that line.
    ///
    /// # Errors
    /// If that does not happen within `patience`; the error holds the output.
    pub fn wait_for(&self, text: &str, patience: Duration) -> Result<String> {
        let deadline = Instant::now() + patience;
        let mut lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                bail!("{} never wrote {text:?}; it wrote:\n{}", self.name, lines.join("\n"));
            };
            lines = self.output.grown.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until something listens on `address`.
    ///
    /// # Errors
    /// If nothing does within `patience`, or the program ended.
    pub fn wait_for_port(&mut self, address: SocketAddr, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}; it wrote:\n{}", self.name, self.output());
            }
            if Instant::now() > deadline {
                bail!("{} does not listen on {address}; it wrote:\n{}", self.name, self.output());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// If it does not end within `patience`; it is killed then.
    pub fn terminate(&mut self, patience: Duration) -> Result<Option<i32>> {
        Command::new("kill").arg("-TERM").arg(self.id().to_string()).status().context("kill")?;
        self.wait(patience)
    }

    /// Kills it without warning (SIGKILL).
    pub fn kill(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }

    /// Waits for its end and for the last line it wrote, and returns its exit code, `None` if a signal ended it.
    ///
    /// # Errors
    /// If it does not end within `patience`; it is killed then.
    pub fn wait(&mut self, patience: Duration) -> Result<Option<i32>> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                for reader in self.readers.drain(..) {
                    // A reader can't fail; it ends with the pipe.
                    let _ended = reader.join();
                }
                return Ok(status.code());
            }
            if Instant::now() > deadline {
                self.kill();
                bail!("{} did not end within {patience:?}; it wrote:\n{}", self.name, self.output());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// User and system time it has used so far, in seconds (`/proc/PID/stat`, in ticks of 1/100 s).
    ///
    /// # Errors
    /// If the process is gone.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let after_name = stat.rsplit_once(')').context("/proc stat")?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).context("/proc stat");
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }

    /// Resident memory now and at its peak, in MiB.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn resident_mib(&self) -> Result<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).context("/proc status")?;
            let kib: f64 = line.split_whitespace().nth(1).context("/proc status")?.parse()?;
            anyhow::Ok(kib / 1024.0)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn keep(source: impl Read + Send + 'static, output: Arc<Output>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            output.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            output.grown.notify_all();
        }
    })
}

/// An address on loopback that was free a moment ago.
///
/// # Errors
/// If no port is free.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The `foreshock` program that was built beside the running test or bench.
///
/// # Errors
/// If it is not there, with what to do.
pub fn foreshock() -> Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let program = folder.join("foreshock");
    if !program.is_file() {
        bail!("{} is missing: `cargo build --package foreshock` first, or use `cargo xtask test`", program.display());
    }
    Ok(program)
}

/// The peer named by an environment variable that `cargo xtask test` sets, or `None` with a word on the terminal if this run
/// goes without peers.
///
/// # Errors
/// If the variable is missing and nobody asked to go without peers.
pub fn peer(variable: &str) -> Result<Option<PathBuf>> {
    if let Some(path) = std::env::var_os(variable) {
        // Empty: this machine lacks what an optional peer needs, and `cargo xtask test` has said so.
        return Ok(Some(path).filter(|path| !path.is_empty()).map(PathBuf::from));
    }
    if std::env::var("FORESHOCK_PEERS").is_ok_and(|value| value == "none") {
        return Ok(None);
    }
    bail!("{variable} is not set: run `cargo xtask test`, or set FORESHOCK_PEERS=none to leave peers out")
}

/// The body of an HTTP GET, for what a program tells about itself.
///
/// # Errors
/// If nothing answers there, or not with 200.
pub fn http_get(address: SocketAddr, path: &str) -> Result<String> {
    http(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// The answer to JSON that is sent with an HTTP POST.
///
/// # Errors
/// If nothing answers there, or not with 200.
pub fn http_post_json(address: SocketAddr, path: &str, json: &str) -> Result<String> {
    let length = json.len();
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    );
    http(address, &format!("{head}Connection: close\r\n\r\n{json}"))
}

fn http(address: SocketAddr, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of headers")?;
    if head.split_whitespace().nth(1) != Some("200") {
        bail!("{}: {} {body}", request.lines().next().unwrap_or_default(), head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

/// The sum of all samples of a metric in Prometheus text, 0 if there is none.
#[must_use]
pub fn prometheus_sum(text: &str, metric: &str) -> f64 {
    text.lines()
        .filter(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
