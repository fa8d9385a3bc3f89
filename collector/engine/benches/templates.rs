//! What finding the template of a log line costs on one core: with all signatures known, and while learning from nothing.
//!
//! The lines are those of a made-up shop: 40 statements of web servers, workers, databases and schedulers, some common and
//! most rare, with identifiers, addresses, durations, paths, quoted text, JSON and names in their places. Of 20,000 lines
//! 2 % are equal to another one, so that nothing is gained by remembering whole lines.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use foreshock_engine::templates::{TemplateLimits, TemplateMiner};
use std::hint::black_box;

/// Lines from which a fresh miner learns, as many as the sets have by which template miners are compared.
const LEARNED: usize = 2_000;
const WARM: usize = 20_000;

/// `{n}` and the like are filled by [`Values::fill`]. The earlier a statement, the more often it is taken.
const STATEMENTS: [&str; 40] = [
    "{method} {route}/{n} HTTP/1.1 200 {n} {ms}ms",
    "request {uuid} from {ip}:{port} completed in {ms} ms",
    "order {n} accepted for customer c{n}, total {n}.{d} EUR",
    "Accepted connection from {ip}:{port} on /0:0:0:0:0:0:0:0:8443",
    "cache miss for key user:{n}:cart, loading from database",
    "[{thread}] com.shop.checkout.PaymentService - authorised payment {uuid} over {n} cents",
    "{{\"level\":\"info\",\"route\":\"{route}\",\"status\":{d},\"duration_ms\":{ms},\"user\":\"{name}\"}}",
    "Received block blk_{n} of size {n} from /{ip}",
    "session opened for user {name} by (uid={d})",
    "consumer group {word}-events: partition {d} at offset {n}, lag {d}",
    "duration: {ms}.{d} ms  statement: SELECT * FROM orders WHERE id = {n} AND state = '{word}'",
    "span_id={hex} trace_id={hex} upstream={word} retries={d} outcome=ok",
    "Scheduled snapshot for timer {d} (period {n} second(s))",
    "GC pause (young) {n}M->{d}M({n}M) {ms}.{d}ms",
    "reloading configuration from /etc/{word}/{word}.yaml (generation {d})",
    "worker {d} took job {uuid} from queue {word}",
    "mail to {name}@example.com queued as {hex}",
    "PUT https://store.example.com/{word}/{uuid}?part={d} -> 204 in {ms}ms",
    "client {ip} disconnected: connection reset by peer",
    "temperature of disk /dev/sd{d} is {d} C, {d} sectors reallocated",
    "upstream {word} timed out after {ms} ms, attempt {d} of 3",
    "Failed password for invalid user {name} from {ip} port {port} ssh2",
    "slow query ({ms} ms): UPDATE stock SET amount = amount - {d} WHERE sku = '{hex}'",
    "circuit breaker for {word} is now open, {d} failures in 10s",
    "{date} WARN pool {word} exhausted: {d} of {d} connections in use, {n} waiting",
    "lease of {ip} to {mac} renewed for {n} seconds",
    "pod {word}-{hex} on node {word}{d}.internal: Readiness probe failed: HTTP probe failed with statuscode: 503",
    "Checkpoint complete: wrote {n} buffers ({d}.{d}%); {d} WAL file(s) added, {d} removed",
    "error: unable to open file '/var/lib/{word}/{n}.log': No such file or directory",
    "Started container {word} with image registry.example.com/{word}:1.{d}.{d}",
    "ERROR [{thread}] o.a.k.clients.NetworkClient - Connection to node {d} ({ip}:{port}) could not be established",
    "rate limit exceeded for api key {hex}: {n} requests in 60 seconds",
    "leader election won by {word}-{d} in term {n}",
    "heartbeat sent",
    "certificate for {word}.example.com expires on {date}",
    "kernel: [{n}.{n}] eth0: link is up at 1000 Mbps, full duplex",
    "user {name} logged out after {d} hours",
    "discarding {n} bytes from C:\\data\\{word}\\{n}.tmp",
    "feature flag {word} changed from false to true by {name}",
    "shutting down, {d} requests still running",
];
const WORDS: [&str; 12] = [
    "cart", "checkout", "stock", "billing", "search", "mailer", "catalog", "frontend", "gateway", "ledger", "images",
    "reports",
];
const NAMES: [&str; 16] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory", "niaj", "olivia",
    "peggy", "rupert", "sybil",
];

/// A sequence that is the same in each run.
struct Values(u64);

impl Values {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.next() as usize % choices.len()]
    }

    fn line(&mut self) -> String {
        // The smaller of two is more often small.
        let (a, b) = (self.next() as usize % STATEMENTS.len(), self.next() as usize % STATEMENTS.len());
        self.fill(STATEMENTS[a.min(b)])
    }

    fn fill(&mut self, statement: &str) -> String {
        let mut line = String::new();
        for piece in statement.replace("{{", "\u{1}").replace("}}", "\u{2}").split('{') {
            match piece.split_once('}') {
                Some((kind, rest)) => line = line + &self.value(kind) + rest,
                None => line += piece,
            }
        }
        line.replace('\u{1}', "{").replace('\u{2}', "}")
    }

    fn value(&mut self, kind: &str) -> String {
        let n = self.next();
        match kind {
            "n" => (n % 1_000_000).to_string(),
            "d" => (n % 100).to_string(),
            "ms" => (n % 5_000).to_string(),
            "port" => (1_024 + n % 60_000).to_string(),
            "ip" => format!("10.{}.{}.{}", n % 4, n / 4 % 256, n / 1_024 % 256),
            "mac" => format!("52:54:00:{:02x}:{:02x}:{:02x}", n % 256, n / 256 % 256, n / 65_536 % 256),
            "hex" => format!("{n:08x}{:08x}", self.next()),
            "uuid" => format!("{n:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", n % 65_536, n % 4_096, n % 4_095, self.next()),
            "date" => format!("2026-{:02}-{:02}T{:02}:{:02}:17.250Z", 1 + n % 12, 1 + n / 12 % 28, n % 24, n % 60),
            "thread" => format!("http-nio-8080-exec-{}", n % 32),
            "method" => self.of(&["GET", "GET", "GET", "POST", "PUT", "DELETE"]).to_owned(),
            "route" => format!("/api/v{}/{}", 1 + n % 2, self.of(&WORDS)),
            "word" => self.of(&WORDS).to_owned(),
            _ => self.of(&NAMES).to_owned(),
        }
    }
}

fn templates(criterion: &mut Criterion) {
    let mut values = Values(7);
    let lines: Vec<String> = (0..WARM).map(|_| values.line()).collect();
    let mut group = criterion.benchmark_group("templates");
    group.throughput(Throughput::Elements(WARM as u64));
    group.bench_function("warm", |bench| {
        let mut miner = TemplateMiner::new(TemplateLimits::default());
        let mut read = || lines.iter().for_each(|line| drop(black_box(miner.observe(line))));
        read();
        bench.iter(read);
    });
    group.throughput(Throughput::Elements(LEARNED as u64));
    group.bench_function("learning", |bench| {
        bench.iter(|| {
            let mut miner = TemplateMiner::new(TemplateLimits::default());
            lines[..LEARNED].iter().for_each(|line| drop(black_box(miner.observe(line))));
            miner.len()
        });
    });
    group.finish();
}

criterion_group!(benches, templates);
criterion_main!(benches);
