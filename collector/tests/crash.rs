//! A hop that is killed at random moments goes on from a whole and recent state each time.
//!
//! The hop runs in a process of its own: this program again, which is told by its environment to be the hop, with a clock that goes 60
//! times as fast, so that state is kept 60 times a second. `FORESHOCK_KILLS` says how often it is killed, and `FORESHOCK_SEED` repeats
//! the moments of an earlier run as nearly as a machine can.

use foreshock::{
    config::{self, Surroundings},
    detectors::Components,
    live::Live,
    pipeline::{
        clock::{Clock, SystemClock},
        saved::{DETECTORS, SERVICE},
    },
    telemetry::Telemetry,
};
use foreshock_engine::{UnixNanos, saved};
use foreshock_guests::random::Random;
use foreshock_sandbox::ServiceState;
use foreshock_store::{State, Store};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// The one test of this program.
const TEST: &str = "killed_at_any_moment_it_goes_on_from_a_whole_and_recent_state";
/// Makes the test be the hop that is killed, with the configuration in this file; nobody else sets it.
const HOP_CONFIG: &str = "FORESHOCK_CRASH_CONFIG";
/// How much faster than the system's the child's clock goes.
const SPEED: u32 = 60;
const SERVICES: u64 = 3;
/// Snapshots of two services, with two pieces each, are taken at each tick.
const PIECES_A_TICK: u64 = 4;
/// Windows are 10 seconds long; each request has a point for each service in the next one.
const STEP_NS: u64 = 10_000_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// The system's clock, faster.
#[derive(Debug)]
struct FastClock {
    began: Instant,
    base: UnixNanos,
}

impl Clock for FastClock {
    fn now(&self) -> UnixNanos {
        let since = self.began.elapsed() * SPEED;
        self.base.plus(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    fn until(&self, time: UnixNanos) -> Duration {
        Duration::from_nanos(time.since(self.now())) / SPEED
    }
}

/// The hop: runs until it is killed or asked to stop.
fn run_hop(config: &Path) {
    let components = Components::default();
    let surroundings = Surroundings { env: &|_| None, modules: &components, processors: 1 };
    let config = config::load(config, &surroundings).expect("usable").config;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).expect("signals");
        let telemetry = Arc::new(Telemetry::start(&config.telemetry).expect("telemetry"));
        telemetry.install(&config.telemetry).expect("logs");
        let clock = FastClock { began: Instant::now(), base: SystemClock.now() };
        let live = Live::start(&config, Arc::new(clock), telemetry).await.expect("starts");
        let addresses = live.addresses();
        let (http, console) = (addresses.http.expect("HTTP"), addresses.console.expect("a console"));
        writeln!(std::io::stderr(), "ready {http} {console}").expect("stderr");
        terminate.recv().await;
        live.stop().await;
    });
}

/// A detector that counts windows and keeps the count 8,192 times. It traps over a state in which not all of them are the same.
fn counter() -> Vec<u8> {
    let keep = "
        (if (i32.lt_u (memory.size) (i32.const 8)) (then (drop (memory.grow (i32.const 6)))))
        (loop $next
          (i64.store (i32.add (i32.const 262144) (local.get $n)) (global.get $windows))
          (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 8))) (i32.const 65536))))
        (i32.store (i32.const 1288) (i32.const 262144))
        (i32.store (i32.const 1292) (i32.const 65536))";
    let check = "
        (if (i32.ne (local.get $state_bytes) (i32.const 65536)) (then unreachable))
        (loop $next
          (if (i64.ne (i64.load (local.get $state)) (i64.load (i32.add (local.get $state) (local.get $n)))) (then unreachable))
          (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 8))) (i32.const 65536))))";
    foreshock_guests::assemble(&[("state", keep), ("resume", check)])
}

/// The child, and all that it wrote.
struct Hop {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<thread::JoinHandle<()>>,
    ready: mpsc::Receiver<(SocketAddr, SocketAddr)>,
    spawned: Instant,
}

impl Hop {
    fn spawn(config: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["--exact", TEST, "--nocapture"]).env(HOP_CONFIG, config);
        let spawned = Instant::now();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
        let stderr = BufReader::new(child.stderr.take().expect("its stderr"));
        let (tell, ready) = mpsc::channel();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // It may be killed in the middle of the line.
                if let Some((http, console)) = line.strip_prefix("ready ").and_then(|rest| rest.split_once(' '))
                    && let (Ok(http), Ok(console)) = (http.parse(), console.parse())
                {
                    let _ = tell.send((http, console));
                }
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, lines, reader: Some(reader), ready, spawned }
    }

    fn said(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits for its end, and gives all that it said.
    fn last_words(mut self) -> String {
        self.child.wait().expect("it ends");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("its lines are readable");
        }
        self.said()
    }

    /// Waits until it takes telemetry.
    fn ready(&self) -> (SocketAddr, SocketAddr) {
        self.ready.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it is never ready; it said:\n{}", self.said()))
    }

    fn signal(&self, name: &str) {
        // It may have ended by itself after a SIGTERM.
        let _ = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).stderr(Stdio::null()).status();
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request of one connection; `None` if the far side is gone.
fn ask(address: SocketAddr, head: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    let head = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(answer)
}

/// A point for each service at a time.
fn request(time: u64) -> String {
    let resource = |service: u64| {
        format!(
            r#"{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"s{service}"}}}}]}},"scopeMetrics":[{{"metrics":[{{"name":"load","gauge":{{"dataPoints":[{{"timeUnixNano":"{time}","asDouble":1.5}}]}}}}]}}]}}"#
        )
    };
    let resources: Vec<String> = (0..SERVICES).map(resource).collect();
    format!(r#"{{"resourceMetrics":[{}]}}"#, resources.join(","))
}

/// The value of one sample of the metrics, 0 if it is not there yet.
fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map_or(0, |value| value as u64)
}

/// What a hop was seen to have done at a moment.
#[derive(Clone, Copy)]
struct Sample {
    /// Taken afterwards.
    at: Instant,
    /// Windows that its detector has judged since it started.
    judged: u64,
    /// Pieces of state that were written since it started.
    kept: u64,
}

fn sample(console: SocketAddr) -> Option<Sample> {
    let text = ask(console, "GET /metrics", "")?;
    let judged = metric(&text, "foreshock_detector_calls_total{detector=\"counter\"}");
    Some(Sample { at: Instant::now(), judged, kept: metric(&text, "foreshock_state_kept_total ") })
}

/// What lies in a state folder, read from a copy so that the next start meets the files as the crash left them: how many windows were
/// judged for all services together, and of how many services something is kept.
fn kept(state: &Path, scratch: &Path) -> (u64, u64) {
    let _ = std::fs::remove_dir_all(scratch);
    std::fs::create_dir_all(scratch).expect("a folder");
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("foreshock.db{suffix}");
        let _ = std::fs::copy(state.join(&name), scratch.join(&name));
    }
    let opened = Store::open(scratch).expect("it opens");
    assert_eq!(opened.aside, None, "the state is damaged");
    let states = opened.store.states().expect("readable");
    let of = |kind: &'static str| states.iter().filter(move |state| state.kind == kind);
    let windows: Vec<u64> = of(DETECTORS)
        .map(|state| {
            let service: ServiceState = saved::decode(1, &state.bytes).expect("whole");
            let whole = |other: &&State| other.service == state.service && other.updated == state.updated;
            assert!(
                of(SERVICE).any(|other| whole(&other)),
                "the two halves of {} are of different times",
                state.service
            );
            assert_eq!(service.models.len(), 1, "{}", state.service);
            let bytes = &service.models[0].bytes;
            let count = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
            assert_eq!(bytes.len(), 65_536, "{}", state.service);
            assert!(bytes.chunks(8).all(|chunk| count(chunk) == count(&bytes[..8])), "{} is torn", state.service);
            count(&bytes[..8])
        })
        .collect();
    (windows.iter().sum(), windows.len() as u64)
}

/// A time of less than so many milliseconds.
fn millis(random: &mut Random, limit: u64) -> Duration {
    Duration::from_micros(random.below(limit * 1000))
}

/// A number from the environment.
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Feeds a hop until it is gone, and tells what it was seen to do. `time` is the event time of the next request.
fn feed(http: SocketAddr, console: SocketAddr, time: &mut u64) -> Vec<Sample> {
    let mut samples = Vec::new();
    loop {
        for _ in 0..10 {
            if ask(http, "POST /v1/metrics", &request(*time)).is_none() {
                return samples;
            }
            *time += STEP_NS;
        }
        match sample(console) {
            Some(sample) => samples.push(sample),
            None => return samples,
        }
    }
}

/// The most windows that must be in the state of a hop that was killed: those that it was seen to have judged before the tick whose
/// pieces are known to be written. Ticks come 60 times a second at most, and at each of them two of three services have their turn.
fn promised(spawned: Instant, samples: &[Sample]) -> u64 {
    // The correlator adds a piece of its own at each 60th tick.
    let ticks = samples.last().map_or(0, |last| (last.kept - last.kept / 60) / PIECES_A_TICK);
    let until = spawned + Duration::from_secs(1) / SPEED * u32::try_from(ticks.saturating_sub(5)).unwrap_or(0);
    samples.iter().filter(|sample| sample.at <= until).map(|sample| sample.judged).max().unwrap_or(0)
}

/// Writes the detector and a configuration that uses it and keeps its state in `state`; gives the configuration's path.
fn configure(folder: &Path, state: &Path) -> PathBuf {
    let component = folder.join("counter.wasm");
    std::fs::write(&component, counter()).expect("a file");
    let config = folder.join("foreshock.yaml");
    let text = format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:0\"}}}}}}}}
exporters: {{debug: {{}}}}
detectors: {{counter: {{module: \"{}\"}}}}
console: {{endpoint: \"127.0.0.1:0\"}}
health: {{endpoint: \"127.0.0.1:0\"}}
storage: {{path: \"{}\"}}
service: {{pipelines: {{metrics: {{receivers: [otlp], detectors: [counter], exporters: [debug]}}}}}}
",
        component.display(),
        state.display()
    );
    std::fs::write(&config, text).expect("a file");
    config
}

/// Lets a hop live until a random time in `moment`, when it is killed, and tells what it was seen to do. It must know so many services
/// from before; `time` is the event time of the next request.
fn live_and_die(hop: &Hop, moment: &str, services: u64, time: &mut u64, random: &mut Random) -> Vec<Sample> {
    if moment == "the start" {
        thread::sleep(millis(random, 200));
        hop.signal("KILL");
        return Vec::new();
    }
    let (http, console) = hop.ready();
    // Killed early, a hop has not come to all of its services.
    let began = Instant::now();
    while ask(console, "GET /metrics", "").is_none_or(|text| metric(&text, "foreshock_services ") < services) {
        assert!(began.elapsed() < PATIENCE, "{services} services are forgotten; it said:\n{}", hop.said());
        thread::sleep(Duration::from_millis(5));
    }
    let pause = millis(random, 1200);
    thread::scope(|scope| {
        let feeding = scope.spawn(|| feed(http, console, time));
        thread::sleep(pause);
        if moment == "the stop" {
            hop.signal("TERM");
            thread::sleep(millis(random, 150));
        }
        hop.signal("KILL");
        feeding.join().expect("feeds")
    })
}

/// Protects what was learned from a crash at any moment, in the start, under load, and in the stop: what lies on the disk is whole,
/// holds all that the schedule of snapshots promises, never falls behind what was there before, and the next start goes on from it
/// without a word of complaint.
#[test]
fn killed_at_any_moment_it_goes_on_from_a_whole_and_recent_state() {
    if let Some(config) = std::env::var_os(HOP_CONFIG) {
        return run_hop(Path::new(&config));
    }
    let clock = SystemClock.now().0;
    let seed = given("FORESHOCK_SEED").unwrap_or(clock);
    let kills = given("FORESHOCK_KILLS").unwrap_or(20);
    writeln!(std::io::stderr(), "{kills} kills, seed {seed}").expect("stderr");
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let (state, scratch) = (folder.path().join("state"), folder.path().join("copy"));
    let config = configure(folder.path(), &state);

    // Long ago, for each request is ten seconds later than the one before.
    let mut time = (clock - 100 * 86_400_000_000_000) / STEP_NS * STEP_NS;
    let (mut before, mut services, mut most_promised) = (0, 0, 0);
    for kill in 0..kills {
        let moment = ["the start", "the load", "the load", "the stop"][random.below(4) as usize];
        let when = format!("kill {kill}, in {moment}, seed {seed}");
        writeln!(std::io::stderr(), "{when}").expect("stderr");
        let hop = Hop::spawn(&config);
        let samples = live_and_die(&hop, moment, services, &mut time, &mut random);
        let promised = promised(hop.spawned, &samples);
        let said = hop.last_words();
        for complaint in ["cold", "aside", "damaged", "can't", "could not", "WARN", "ERROR", "panicked"] {
            assert!(!said.contains(complaint), "{when}: it said:\n{said}");
        }
        let (found, found_services) = kept(&state, &scratch);
        assert!(found_services >= services, "{when}: {found_services} services are kept, {services} were before");
        assert!(
            found >= before + promised,
            "{when}: {found} windows are kept, {before} were before, {promised} more should be"
        );
        (before, services, most_promised) = (found, found_services, most_promised.max(promised));
    }
    // Else the test would hold a hop to nothing.
    assert!(
        before > 0 && (kills < 10 || most_promised > 0),
        "{before} windows kept, {most_promised} promised, seed {seed}"
    );
}
