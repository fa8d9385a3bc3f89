//! The HTTP receiver over a real socket. The first two bytes choose path, type and encoding, or that the rest is sent as it is;
//! the rest is the body. The receiver must answer within its deadline with a status of the specification, and what reaches
//! the intake must be valid.

#![no_main]

use foreshock_otlp::{
    receive::{self, Settings},
    request::{Intake, Refusal, Request},
    view,
};
use libfuzzer_sys::fuzz_target;
use std::{
    cell::RefCell,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{net::TcpListener, runtime};

const PATHS: [&str; 4] = ["/v1/metrics", "/v1/logs", "/v1/traces", "/v1/profiles"];
const TYPES: [&str; 4] =
    ["application/x-protobuf", "application/json", "Application/JSON; charset=utf-8", "text/plain"];
const ENCODINGS: [&str; 4] =
    ["", "content-encoding: gzip\r\n", "content-encoding: zstd\r\n", "content-encoding: br\r\n"];
const DEADLINE: Duration = Duration::from_secs(10);

struct Check;

impl Intake for Check {
    fn accept(&self, request: Request) -> Result<(), Refusal> {
        let items = view::validate(request.signal, &request.plain).expect("only valid requests get here");
        assert_eq!(items.count, request.items);
        Ok(())
    }
}

/// Starts the receiver once and says where it listens.
fn receiver() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let settings = Settings { max_message_bytes: 1 << 16, max_plain_bytes: 1 << 20, ..Settings::default() };
            let served = receive::serve(receive::Transport::Http, listener, settings, Arc::new(Check), std::future::pending());
            runtime.block_on(served).expect("serves for ever");
        });
        address
    })
}

fn connect() -> TcpStream {
    let stream = TcpStream::connect(receiver()).expect("the receiver listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// Sends a request over a kept connection and returns the status; `None` if the receiver closed the connection.
fn ask(head: &str, body: &[u8], connection: &mut Option<BufReader<TcpStream>>) -> Option<u16> {
    let reader = connection.get_or_insert_with(|| BufReader::new(connect()));
    let message = [head.as_bytes(), body].concat();
    reader.get_mut().write_all(&message).ok()?;
    let mut line = String::new();
    let read = reader.read_line(&mut line);
    if let Err(error) = &read {
        assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "no answer in time");
    }
    if read.ok()? == 0 {
        return None;
    }
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().expect("a length");
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(status)
}

fuzz_target!(|data: &[u8]| {
    thread_local!(static CONNECTION: RefCell<Option<BufReader<TcpStream>>> = const { RefCell::new(None) });
    let [choice, kind, body @ ..] = data else { return };
    if *kind == 0xff {
        // Not even HTTP.
        let mut stream = connect();
        let _ = stream.write_all(body);
        let _ = stream.shutdown(Shutdown::Write);
        if let Err(error) = stream.read_to_end(&mut Vec::new()) {
            assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "not closed in time");
        }
        return;
    }
    let pick = |shift: u8| usize::from(choice >> shift & 3);
    let method = if choice >> 6 == 3 { "GET" } else { "POST" };
    let head = format!(
        "{method} {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {}\r\n{}content-length: {}\r\n\r\n",
        PATHS[pick(0)],
        TYPES[pick(2)],
        ENCODINGS[pick(4)],
        body.len()
    );
    CONNECTION.with_borrow_mut(|connection| match ask(&head, body, connection) {
        Some(status) => assert!([200, 400, 404, 405, 413, 415].contains(&status), "status {status}"),
        // A refused request may end its connection, as its body is not read.
        None => *connection = None,
    });
});
