//! Tests of the console over a real socket.

use super::*;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Default)]
struct Fixed {
    is_empty: bool,
    acknowledged: Mutex<Vec<String>>,
}

const ID: &str = "00000000000000aa";

/// An incident in which every text tries to become markup.
fn incident() -> views::Incident {
    let odd = |text: &str| format!("{text} <script>alert('1')</script> \"&");
    let service = "shop/<script>".to_owned();
    views::Incident {
        id: ID.to_owned(),
        state: "open".to_owned(),
        severity: "error".to_owned(),
        title: odd("title"),
        sentence: odd("sentence"),
        services: vec![service.clone()],
        root_causes: vec![views::RootCause { service: service.clone(), score: 0.75, summary: odd("summary") }],
        blast_radius: vec![service.clone()],
        start: "2026-09-21T14:03:20Z".to_owned(),
        opened: "2026-09-21T14:05:00Z".to_owned(),
        closed: None,
        anomaly_count: 1,
        anomalies: vec![anomaly()],
        grouping: vec![odd("grouping")],
        version_change: Some((service.clone(), odd("1"), odd("2"), "2026-09-21T14:00:00Z".to_owned())),
        logs: vec![views::LogCluster {
            service,
            text: odd("template"),
            terms: vec![odd("term")],
            count: 7,
            share: 0.5,
            sample: odd("sample"),
        }],
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        root_span_id: "00f067aa0ba902b7".to_owned(),
        exemplars: vec![("0af7651916cd43dd8448eb211c80319c".to_owned(), "b7ad6b7169203331".to_owned())],
        merged_into: None,
    }
}

fn anomaly() -> views::Anomaly {
    views::Anomaly {
        id: "00000000000000bb".to_owned(),
        service: "shop/<script>".to_owned(),
        kind: "level_shift".to_owned(),
        severity: "error".to_owned(),
        score: 0.9,
        series: "http.server.request.duration".to_owned(),
        unit: "s".to_owned(),
        attributes: vec![],
        detector: "baseline".to_owned(),
        observed: Some(0.5),
        expected: Some(0.1),
        lower: None,
        upper: None,
        start: "2026-09-21T14:03:20Z".to_owned(),
        end: None,
        sentence: "slow <script>".to_owned(),
        evidence: vec![],
    }
}

impl Source for Fixed {
    fn metrics(&self) -> String {
        "foreshock_incidents_open 0\n".to_owned()
    }

    fn services(&self) -> Vec<views::Service> {
        if self.is_empty {
            return vec![];
        }
        let health = foreshock_engine::incident::ServiceHealth {
            service: foreshock_engine::window::ServiceKey::new("shop", "<script>"),
            state: foreshock_engine::incident::HealthState::Degraded,
            signals: foreshock_engine::facts::GoldenSignals { calls: 50, errors: 5, ..Default::default() },
            step_nanos: 10_000_000_000,
            last_window: foreshock_engine::UnixNanos(10_000_000_000),
            version: Some("1.8.0".into()),
            open_anomalies: 1,
            severity: None,
        };
        let faults = views::DetectorFaults { detector: "mine".into(), reason: "deadline".into(), faults: 3 };
        vec![views::Service::new(&health, None, vec![faults])]
    }

    fn incidents(&self, _limit: usize) -> Vec<views::Incident> {
        if self.is_empty { vec![] } else { vec![incident()] }
    }

    fn incident(&self, id: &str) -> Option<views::Incident> {
        (id == ID).then(incident)
    }

    fn anomalies(&self, _limit: usize) -> Vec<views::Anomaly> {
        if self.is_empty { vec![] } else { vec![anomaly()] }
    }

    fn graph(&self) -> views::Graph {
        let edge = |caller: &str, callee: &str, far_side| views::Edge {
            caller: caller.to_owned(),
            callee: callee.to_owned(),
            far_side,
            calls: 10,
            errors: 1,
            mean_seconds: 0.02,
            last_seen: "2026-09-21T14:03:20Z".to_owned(),
        };
        let edges = vec![edge("shop/<script>", "cart-cache", true), edge("shop/web", "shop/<script>", false)];
        views::Graph { services: vec![], edges }
    }

    fn acknowledge(&self, id: &str) -> Result<(), NotAcknowledged> {
        if id != "00000000000000aa" {
            return Err(NotAcknowledged::NoSuchIncident);
        }
        self.acknowledged.lock().expect("not poisoned").push(id.to_owned());
        Ok(())
    }
}

async fn ask(source: &Arc<Fixed>, request: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let source: Arc<dyn Source> = Arc::<Fixed>::clone(source);
    let server = tokio::spawn(serve(listener, source, async move {
        let _ = stopped.await;
    }));
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    stream.write_all(request.replace('\n', "\r\n").as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    stop.send(()).expect("still runs");
    server.await.expect("ends").expect("without an error");
    answer
}

async fn get(source: &Arc<Fixed>, path: &str) -> String {
    ask(source, &format!("GET {path} HTTP/1.1\nHost: localhost\nConnection: close\n\n")).await
}

/// What telemetry says about itself must not become markup, on no page, nor load anything from elsewhere.
#[tokio::test]
async fn pages_escape_and_load_nothing_from_elsewhere() {
    let source = Arc::<Fixed>::default();
    for path in ["/", "/incidents/00000000000000aa", "/services/shop/%3Cscript%3E"] {
        let answer = get(&source, path).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        let head = answer.to_ascii_lowercase();
        assert!(
            head.contains("content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'"),
            "{path}"
        );
        assert!(answer.contains("shop/&lt;script&gt;"), "{path}: {answer}");
        // The one script is the console's own.
        assert_eq!(answer.matches("<script").count(), 1, "{path}: {answer}");
        assert!(answer.contains("<script src=\"/console.js\" defer></script>"), "{path}");
        assert!(!answer.contains("alert('1')"), "{path}");
        for elsewhere in ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "url(", "@import"] {
            assert!(!answer.contains(elsewhere), "{path}: {elsewhere}");
        }
    }
    for (path, kind) in [("/style.css", "text/css"), ("/console.js", "text/javascript")] {
        let answer = get(&source, path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("content-type: {kind}")), "{answer}");
        assert!(!answer.contains("://"), "{path} names another host");
    }
}

/// A person must come from the overview to an incident, acknowledge it there, see its trace id and times that a script can
/// make local, and get from a service to those around it. What is not there is a page, too.
#[tokio::test]
async fn pages_lead_to_one_another() {
    let source = Arc::<Fixed>::default();
    let overview = get(&source, "/").await;
    for part in [
        "<title>(1) Foreshock</title>",
        "href=\"/incidents/00000000000000aa\"",
        "data-acknowledge=\"00000000000000aa\"",
        "<time datetime=\"2026-09-21T14:03:20Z\" title=\"2026-09-21 14:03:20 UTC\">",
        "id=\"anomaly-00000000000000bb\"",
    ] {
        assert!(overview.contains(part), "no {part} in {overview}");
    }
    let incident = get(&source, "/incidents/00000000000000aa").await;
    for part in ["4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c", "data-acknowledge", "0.75"] {
        assert!(incident.contains(part), "no {part} in {incident}");
    }
    let service = get(&source, "/services/shop/%3Cscript%3E").await;
    assert!(
        service.contains("href=\"/services/shop/web\"") && service.contains("<td class=name>cart-cache"),
        "{service}"
    );
    for path in ["/incidents/none", "/services/none"] {
        let answer = get(&source, path).await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("<h1>Not found</h1>"), "{answer}");
    }
}

/// The first thing that a newcomer sees: it must say what to do.
#[tokio::test]
async fn an_empty_overview_says_what_to_do() {
    let answer = get(&Arc::new(Fixed { is_empty: true, ..Fixed::default() }), "/").await;
    assert!(answer.contains("Send OTLP to port 4317") && answer.contains("<title>Foreshock</title>"), "{answer}");
}

/// The shapes that programs rely on: rates from counts, health, 404 as JSON.
#[tokio::test]
async fn json_shapes() {
    let answer = ask(&Arc::default(), "GET /api/v1/services HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n").await;
    assert!(answer.contains("\"health\":\"degraded\"") && answer.contains("\"calls_per_second\":5.0"), "{answer}");
    assert!(
        answer.contains("\"error_ratio\":0.1") && answer.contains("\"last_window\":\"1970-01-01T00:00:10Z\""),
        "{answer}"
    );
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    let faults = serde_json::json!([{ "detector": "mine", "reason": "deadline", "faults": 3 }]);
    assert_eq!(body["services"][0]["detector_faults"], faults);
    let answer = ask(&Arc::default(), "GET /api/v1/incidents/x HTTP/1.1\nHost: localhost\nConnection: close\n\n").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("\"error\""), "{answer}");
    let answer = ask(&Arc::default(), "GET /metrics HTTP/1.1\nHost: localhost\nConnection: close\n\n").await;
    assert!(answer.ends_with("foreshock_incidents_open 0\n"), "{answer}");
}

/// Only this page and programs may acknowledge; a foreign page and a foreign name can't.
#[tokio::test]
async fn foreign_pages_can_not_acknowledge() {
    let source = Arc::new(Fixed::default());
    let post = |extra: &str, host: &str| {
        format!(
            "POST /api/v1/incidents/00000000000000aa/acknowledge HTTP/1.1\nHost: {host}\n{extra}Content-Length: 2\nConnection: close\n\n{{}}"
        )
    };
    let json = "Content-Type: application/json\n";
    for (extra, host, status) in [
        (String::new(), "localhost", "415"),
        ("Content-Type: text/plain\n".to_owned(), "localhost", "415"),
        (format!("{json}Origin: http://evil.example\n"), "localhost", "403"),
        (format!("{json}Origin: null\n"), "localhost", "403"),
        (format!("{json}Sec-Fetch-Site: cross-site\n"), "localhost", "403"),
        (json.to_owned(), "evil.example", "403"),
    ] {
        let answer = ask(&source, &post(&extra, host)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{extra}: {answer}");
    }
    assert!(source.acknowledged.lock().expect("not poisoned").is_empty());
    let answer = ask(&source, &post(&format!("{json}Origin: http://localhost\n"), "localhost")).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(source.acknowledged.lock().expect("not poisoned").len(), 1);
}

/// Orchestrators rely on these three answers.
#[tokio::test]
async fn health_follows_the_phase() {
    let readiness = Readiness::default();
    for (phase, status) in [(Phase::Starting, "503"), (Phase::Ready, "200"), (Phase::Draining, "503")] {
        readiness.set(phase);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let server = tokio::spawn(serve_health(listener, readiness.clone(), std::future::pending()));
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        server.abort();
    }
}
