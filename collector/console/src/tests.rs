//! Tests of the console over a real socket.

use super::*;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Default)]
struct Fixed {
    acknowledged: Mutex<Vec<String>>,
}

impl Source for Fixed {
    fn metrics(&self) -> String {
        "foreshock_incidents_open 0\n".to_owned()
    }

    fn services(&self) -> Vec<views::Service> {
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
        vec![views::Service::new(&health, None)]
    }

    fn incidents(&self, _limit: usize) -> Vec<views::Incident> {
        vec![]
    }

    fn incident(&self, _id: &str) -> Option<views::Incident> {
        None
    }

    fn anomalies(&self, _limit: usize) -> Vec<views::Anomaly> {
        vec![]
    }

    fn graph(&self) -> views::Graph {
        views::Graph::default()
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

/// What telemetry says about itself must not become markup.
#[tokio::test]
async fn the_page_escapes() {
    let answer = ask(&Arc::default(), "GET / HTTP/1.1\nHost: localhost\nConnection: close\n\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("shop/&lt;script&gt;") && !answer.contains("<script>"), "{answer}");
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
