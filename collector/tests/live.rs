//! The live hop over real sockets, with an upstream that records what arrives.

use bytes::Bytes;
use foreshock::{
    config::{self, Config, Surroundings},
    detectors::Components,
    live::Live,
    pipeline::clock::SystemClock,
    telemetry::Telemetry,
};
use foreshock_otlp::{
    Signal, json,
    receive::{self, Transport},
    request::{Intake, Refusal, Request},
};
use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An OTLP/gRPC backend that keeps what arrives.
#[derive(Default)]
struct Backend {
    requests: Mutex<Vec<(Signal, Bytes)>>,
}

impl Intake for Backend {
    fn accept(&self, request: Request) -> Result<(), Refusal> {
        self.requests.lock().expect("not poisoned").push((request.signal, request.plain));
        Ok(())
    }
}

impl Backend {
    async fn start(self: &Arc<Self>, listener: TcpListener) {
        let intake: Arc<dyn Intake> = Arc::<Self>::clone(self);
        tokio::spawn(receive::serve(
            Transport::Grpc,
            listener,
            receive::Settings::default(),
            intake,
            std::future::pending(),
        ));
    }

    fn has(&self, bytes: &Bytes) -> bool {
        self.requests.lock().expect("not poisoned").iter().any(|(_, seen)| seen == bytes)
    }
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = tokio::time::Instant::now();
    while !condition().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn yaml(backend: SocketAddr, folder: &Path, more: &str) -> String {
    format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:0\"}}, http: {{endpoint: \"127.0.0.1:0\"}}}}}}}}
exporters: {{otlp/backend: {{endpoint: \"http://{backend}\", retry_on_failure: {{initial_interval: 100ms, max_interval: 1s}}}}}}
detectors: {{baseline: {{module: \"builtin:baseline\"}}}}
console: {{endpoint: \"127.0.0.1:0\"}}
health: {{endpoint: \"127.0.0.1:0\"}}
storage: {{path: \"{}\"}}
service:
  shutdown_timeout: 2s
  pipelines:
    metrics: {{receivers: [otlp], detectors: [baseline], exporters: [otlp/backend]}}
    logs: {{receivers: [otlp], exporters: [otlp/backend]}}
    traces: {{receivers: [otlp], exporters: [otlp/backend]}}
{more}",
        folder.display()
    )
}

fn parse(text: &str) -> Config {
    let components = Components::default();
    let surroundings = Surroundings { env: &|_| None, modules: &components, processors: 2 };
    config::parse("test", Path::new(""), text, &surroundings).expect("usable").config
}

async fn start(config: &Config) -> Live {
    let telemetry = Arc::new(Telemetry::start(&config.telemetry).expect("telemetry"));
    Live::start(config, Arc::new(SystemClock), telemetry).await.expect("starts")
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()
}

/// A gauge of one service, now; `padding` makes the request as large as wanted.
fn metrics(service: &str, padding: usize) -> Bytes {
    let text = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}},{{"key":"padding","value":{{"stringValue":"{}"}}}}]}},"scopeMetrics":[{{"metrics":[{{"name":"load","gauge":{{"dataPoints":[{{"timeUnixNano":"{}","asDouble":1.5}}]}}}}]}}]}}]}}"#,
        "x".repeat(padding),
        now()
    );
    json::to_protobuf(Signal::Metrics, text.as_bytes()).expect("OTLP")
}

/// Sends a request over HTTP and gives the whole answer.
async fn http(address: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let head = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("writes");
    stream.write_all(body).await.expect("writes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("reads");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn post(address: SocketAddr, body: &[u8]) -> String {
    http(address, "POST /v1/metrics", body).await
}

/// What comes in goes out byte for byte, is counted, and the pages answer. A request that detection has no room for is
/// forwarded like any other, and counted as shed.
#[tokio::test(flavor = "multi_thread")]
async fn forwards_exactly_and_sheds_detection_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let backend = Arc::<Backend>::default();
    let upstream = listener.local_addr().expect("its address");
    backend.start(listener).await;
    let live = start(&parse(&yaml(upstream, folder.path(), "detection: {queue: {size_mib: 1}}\n"))).await;
    let addresses = live.addresses();
    let (receiver, console) = (addresses.http.expect("HTTP"), addresses.console.expect("console"));
    assert!(http(addresses.health.expect("health"), "GET /", b"").await.starts_with("HTTP/1.1 200"));

    let (small, large) = (metrics("cart", 10), metrics("cart", 2 << 20));
    for request in [&small, &large] {
        assert!(post(receiver, request).await.starts_with("HTTP/1.1 200"));
        until("the backend has the same bytes", async || backend.has(request)).await;
    }
    assert_eq!(live.counters().shed(Signal::Metrics), 1);
    until("the service is known", async || live.counters().services.get() == 1).await;
    for line in [
        "foreshock_receiver_accepted_metric_points_total{receiver=\"otlp\",transport=\"http\"} 2",
        "foreshock_exporter_sent_metric_points_total{exporter=\"otlp/backend\"} 2",
        "foreshock_exporter_queue_capacity{exporter=\"otlp/backend\"} 1000",
        "foreshock_detection_shed_total{signal=\"metrics\"} 1",
        "foreshock_detector_duration_seconds_count{detector=\"baseline\"}",
        "foreshock_incidents_open 0",
    ] {
        until(line, async || http(console, "GET /metrics", b"").await.contains(line)).await;
    }
    assert!(post(receiver, b"\x0a\xff").await.starts_with("HTTP/1.1 400"));
    let stopped = live.stop().await;
    assert!(stopped.unsent.is_empty(), "{stopped:?}");
}

/// What can't be sent by the end of a stop is kept, and sent by the next start, byte for byte.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stop_leaves_is_sent_by_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = listener.local_addr().expect("its address");
    drop(listener);
    let config = parse(&yaml(upstream, folder.path(), ""));
    let live = start(&config).await;
    let requests: Vec<Bytes> = (0..5).map(|number| metrics(&format!("s{number}"), 0)).collect();
    for request in &requests {
        assert!(post(live.addresses().http.expect("HTTP"), request).await.starts_with("HTTP/1.1 200"));
    }
    let stopped = live.stop().await;
    assert_eq!(stopped.unsent.get("otlp/backend"), Some(&5), "{stopped:?}");
    assert!(stopped.kept, "{stopped:?}");

    let backend = Arc::<Backend>::default();
    backend.start(TcpListener::bind(upstream).await.expect("the same port")).await;
    let live = start(&config).await;
    for request in &requests {
        until("the backend has what was kept", async || backend.has(request)).await;
    }
    until("what was learned is there again", async || live.counters().services.get() == 5).await;
    assert!(live.stop().await.unsent.is_empty());
}

/// A process that is killed goes on from its last snapshot at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_keeps_what_it_learned() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = listener.local_addr().expect("its address");
    Arc::<Backend>::default().start(listener).await;
    let path = folder.path().join("foreshock.yaml");
    std::fs::write(&path, yaml(upstream, &folder.path().join("state"), "")).expect("a file");

    let mut process = Process::start(&path).await;
    assert!(post(process.http, &metrics("cart", 0)).await.starts_with("HTTP/1.1 200"));
    let console = process.console;
    until("a snapshot is written", async || {
        let shown = http(console, "GET /metrics", b"").await;
        shown.lines().any(|line| line.starts_with("foreshock_state_kept_total") && !line.ends_with(" 0"))
    })
    .await;
    process.child.kill().expect("is killed");
    process.child.wait().expect("ends");

    let mut process = Process::start(&path).await;
    let console = process.console;
    until("the service is known without new telemetry", async || {
        http(console, "GET /metrics", b"").await.contains("foreshock_services 1")
    })
    .await;
    let asked = Command::new("kill").arg(process.child.id().to_string()).status().expect("kill runs");
    assert!(asked.success());
    let ended = tokio::task::spawn_blocking(move || process.child.wait()).await.expect("waits").expect("ends");
    assert_eq!(ended.code(), Some(0), "SIGTERM is an orderly end");
}

/// The number behind a name on the console, over all labels.
async fn metric(console: SocketAddr, name: &str) -> u64 {
    let shown = http(console, "GET /metrics", b"").await;
    let values = shown.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<u64>().expect("a whole number")).sum()
}

/// The real program takes a new component and a new configuration while telemetry flows: each window is judged exactly once, what was
/// learned goes over, or else the cold start is said in an event; rubbish, a configuration with mistakes and a change that needs a
/// restart leave everything as it was, and say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_detector_is_replaced_while_it_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = listener.local_addr().expect("its address");
    let backend = Arc::<Backend>::default();
    backend.start(listener).await;
    let (path, component) = (folder.path().join("foreshock.yaml"), folder.path().join("guard.wasm"));
    let configure = |guard: &str, more: &str| {
        let text = yaml(upstream, &folder.path().join("state"), more);
        let text =
            text.replace("baseline: {module: \"builtin:baseline\"}", &format!("guard: {{module: guard.wasm{guard}}}"));
        std::fs::write(&path, text.replace("detectors: [baseline]", "detectors: [guard]")).expect("a file");
    };
    let window = "detection: {window: 1s, lateness: 0s, idle: 1s}\n";
    configure("", window);
    let chaos = foreshock_builtin::chaos();
    std::fs::write(&component, chaos).expect("a file");
    let process = Process::start(&path).await;
    let (console, receiver) = (process.console, process.http);
    let hang_up = || {
        let sent = Command::new("kill").args(["-HUP", &process.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    };
    let sender = tokio::spawn(async move {
        loop {
            post(receiver, &metrics("cart", 0)).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let judged = async || metric(console, "foreshock_detector_calls_total").await;
    let goes_on = async || {
        let before = judged().await;
        until("windows are judged", async || judged().await > before + 1).await;
    };
    goes_on().await;

    // Rubbish is refused, and the one before runs on.
    std::fs::write(&component, "not a component").expect("a file");
    until("it is refused", async || metric(console, "foreshock_detector_replacements_failed_total").await == 1).await;
    until("it is said", async || process.said("the new one can't be used and the one before runs on")).await;
    goes_on().await;

    // The same code under another digest: a custom section says nothing to anybody.
    std::fs::write(&component, [chaos, b"\0\x03\x02v2"].concat()).expect("a file");
    until("it is replaced", async || metric(console, "foreshock_detector_replacements_total").await == 1).await;
    goes_on().await;
    assert_eq!(metric(console, "foreshock_detector_faults_total").await, 0, "what was learned went over");

    // Mistakes change nothing, and neither does what is only read at a start.
    configure(", config: {act: dance}", window);
    hang_up();
    until("the mistake is said", async || process.said("detectors.guard.config.act: \"dance\" is not one of")).await;
    configure(", config: {state_schema: 7}", "detection: {window: 2s, lateness: 0s, idle: 1s}\n");
    hang_up();
    until("the restart is said", async || process.said("this part changed and needs a restart")).await;
    until("the cold start is told in an event", async || {
        let requests = backend.requests.lock().expect("not poisoned");
        let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        requests.iter().any(|(signal, bytes)| {
            *signal == Signal::Logs && has(bytes, "foreshock.detector.health") && has(bytes, "reads 7); it starts anew")
        })
    })
    .await;
    assert_eq!(metric(console, "foreshock_detector_replacements_total").await, 2);
    goes_on().await;

    sender.abort();
    until("the last window is judged", async || {
        let (windows, calls) = (metric(console, "foreshock_windows_total").await, judged().await);
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let still = (metric(console, "foreshock_windows_total").await, judged().await);
        (windows, calls) == still
    })
    .await;
    let (windows, calls) = (metric(console, "foreshock_windows_total").await, judged().await);
    assert_eq!(windows, calls, "each window is judged once");
}

/// The real program in a process of its own, killed when dropped.
struct Process {
    child: std::process::Child,
    http: SocketAddr,
    console: SocketAddr,
    /// What it wrote to stderr after it was ready.
    said: Arc<Mutex<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn said(&self, text: &str) -> bool {
        self.said.lock().expect("not poisoned").contains(text)
    }

    async fn start(config: &Path) -> Self {
        let config = config.to_owned();
        tokio::task::spawn_blocking(move || {
            use std::io::BufRead;
            let mut child = Command::new(env!("CARGO_BIN_EXE_foreshock"))
                .args(["run", "--config"])
                .arg(&config)
                .stderr(Stdio::piped())
                .spawn()
                .expect("starts");
            let mut lines = std::io::BufReader::new(child.stderr.take().expect("its stderr")).lines();
            let ready = loop {
                let line = lines.next().expect("a ready line").expect("text");
                if line.starts_with("foreshock ready:") {
                    break line;
                }
            };
            let said = Arc::<Mutex<String>>::default();
            let kept = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    kept.lock().expect("not poisoned").push_str(&format!("{line}\n"));
                }
            });
            let address = |what: &str| {
                let (_, rest) = ready.split_once(&format!("{what} http://")).expect("the address");
                rest.split(',').next().expect("an address").parse().expect("an address")
            };
            Self { http: address("otlp/http"), console: address("console"), child, said }
        })
        .await
        .expect("starts")
    }
}

/// A running instance puts known anomalies into copies of what it sees, by itself, for the detectors that run at the time; the API, the
/// metrics and the command tell what came of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_instance_checks_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = listener.local_addr().expect("its address");
    Arc::<Backend>::default().start(listener).await;
    let configuration = yaml(upstream, folder.path(), "detection: {selfcheck_every: 1s, shards: 1}\n");
    let live = start(&parse(&configuration)).await;
    let receiver = live.addresses().http.expect("a receiver");
    let console = live.addresses().console.expect("a console");
    // Time that lies behind, a row each ten seconds, in one request.
    let past = |rows: std::ops::Range<u128>| {
        let point = |row: u128| {
            let value = 100.0 + ((row * 7_919) % 97) as f64 / 10.0;
            format!(r#"{{"timeUnixNano":"{}","asDouble":{value}}}"#, now() - (800 - row) * 10_000_000_000)
        };
        let points: Vec<String> = rows.map(point).collect();
        let text = format!(
            r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"web"}}}}]}},"scopeMetrics":[{{"metrics":[{{"name":"load","gauge":{{"dataPoints":[{}]}}}}]}}]}}]}}"#,
            points.join(",")
        );
        json::to_protobuf(Signal::Metrics, text.as_bytes()).expect("OTLP")
    };
    assert!(post(receiver, &past(0..720)).await.starts_with("HTTP/1.1 200"));
    let mut answer = String::new();
    until("a check", async || {
        answer = http(console, "GET /api/v1/selfcheck", b"").await;
        answer.contains(r#""service":"web""#)
    })
    .await;
    assert!(answer.contains(r#""kind":"level_shift""#) && answer.contains("data-quality"), "{answer}");
    let metrics = http(console, "GET /metrics", b"").await;
    for name in ["foreshock_selfcheck_runs_total", "foreshock_selfcheck_blind_series"] {
        assert!(metrics.contains(name), "{name}\n{metrics}");
    }
    let seen = metrics.lines().find(|line| {
        line.starts_with("foreshock_selfcheck_detected_ratio{")
            && line.contains(r#"detector="baseline""#)
            && line.contains(r#"kind="level_shift""#)
    });
    assert!(seen.is_some_and(|line| line.ends_with(" 1")), "{seen:?}");
    let command = tokio::task::spawn_blocking(move || {
        let console = console.to_string();
        Command::new(env!("CARGO_BIN_EXE_foreshock")).args(["selfcheck", "--console", &console]).output()
    });
    let output = command.await.expect("ends").expect("starts");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && table.contains("web") && table.contains("baseline"), "{table}");

    // A detector that is added while it runs is checked, too.
    let path = folder.path().join("foreshock.yaml");
    let text =
        configuration.replace("detectors: {baseline", "detectors: {shift: {module: \"builtin:shift\"}, baseline");
    std::fs::write(&path, text.replace("detectors: [baseline]", "detectors: [baseline, shift]")).expect("a file");
    let reloaded = live.reload(path).await.expect("an answer");
    assert_eq!((reloaded.added, reloaded.refused), (vec!["shift".to_owned()], None));
    assert!(post(receiver, &past(720..790)).await.starts_with("HTTP/1.1 200"));
    until("a check of the detector that was added", async || {
        http(console, "GET /api/v1/selfcheck", b"").await.contains(r#""detector":"shift""#)
    })
    .await;
    live.stop().await;
}
