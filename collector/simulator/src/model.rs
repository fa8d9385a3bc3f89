//! The shop on paper: what a service, an operation and a call are. The table itself is in [`services`](crate::services).

use crate::instance::text;
use opentelemetry_proto::tonic::common::v1::KeyValue;

/// Index of a service in [`SERVICES`](crate::services::SERVICES).
pub(crate) type ServiceId = usize;

/// One operation: service and index among its operations.
pub(crate) type OperationId = (ServiceId, usize);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Language {
    Java,
    Go,
    Node,
    DotNet,
}

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) language: Language,
    pub(crate) instances: usize,
    /// Of each instance.
    pub(crate) cores: f64,
    pub(crate) memory_mib: f64,
    pub(crate) memory_limit_mib: f64,
    pub(crate) pool: Option<Pool>,
    pub(crate) operations: &'static [Operation],
    /// Lines that belong to no request.
    pub(crate) background: &'static [Background],
}

/// A pool of connections to one database, per instance.
#[derive(Debug)]
pub(crate) struct Pool {
    /// `db.namespace`, and the address.
    pub(crate) database: &'static str,
    /// `db.system.name`
    pub(crate) system: &'static str,
    pub(crate) size: usize,
    /// How long a request waits for a connection before it fails.
    pub(crate) patience_ms: f64,
}

#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) entry: Entry,
    /// Median of the time spent in the service itself, without its calls.
    pub(crate) own_ms: f64,
    /// CPU time per request.
    pub(crate) cpu_ms: f64,
    /// Share of requests that fail for no special reason.
    pub(crate) failures: f64,
    /// Logged for a share of the requests.
    pub(crate) line: (f64, &'static str),
    /// Counted when it succeeds.
    pub(crate) counts: Option<&'static str>,
    pub(crate) steps: &'static [Step],
}

#[derive(Debug)]
pub(crate) enum Entry {
    Http {
        method: &'static str,
        route: &'static str,
    },
    /// Takes messages from a topic.
    Consume {
        topic: &'static str,
    },
    /// Started by a timer within the service.
    Job {
        name: &'static str,
    },
}

#[derive(Debug)]
pub(crate) enum Step {
    Call {
        to: OperationId,
        share: f64,
        timeout_ms: f64,
        retries: u32,
        optional: bool,
    },
    /// A query through the service's pool.
    Query {
        verb: &'static str,
        table: &'static str,
        ms: f64,
    },
    /// A request to somebody who sends no telemetry.
    External {
        peer: &'static str,
        method: &'static str,
        path: &'static str,
        ms: f64,
        timeout_ms: f64,
        retries: u32,
    },
    Publish {
        topic: &'static str,
        to: OperationId,
    },
    /// Appends to a file on the service's volume.
    Write {
        ms: f64,
    },
}

#[derive(Debug)]
pub(crate) struct Background {
    /// OTLP severity number.
    pub(crate) severity: i32,
    /// Per instance and minute.
    pub(crate) per_minute: f64,
    pub(crate) line: &'static str,
}

impl Pool {
    /// What spans and metrics say of an operation on it. A cache has keys and no tables.
    pub(crate) fn attributes(&self, verb: &str, table: &str) -> Vec<KeyValue> {
        let mut attributes = vec![
            text("db.system.name", self.system),
            text("db.namespace", self.database),
            text("db.operation.name", verb),
        ];
        if self.system != "redis" {
            attributes.push(text("db.collection.name", table));
        }
        attributes
    }

    /// `db.query.text`, with its parameters taken out.
    pub(crate) fn statement(&self, verb: &str, table: &str) -> String {
        match verb {
            "SELECT" => format!("SELECT * FROM {table} WHERE id = $1"),
            "INSERT" => format!("INSERT INTO {table} VALUES ($1, $2, $3)"),
            "UPDATE" => format!("UPDATE {table} SET quantity = quantity - $2 WHERE id = $1"),
            _ => format!("{verb} {table}:?"),
        }
    }

    /// Where it usually listens.
    pub(crate) fn port(&self) -> i64 {
        if self.system == "redis" { 6379 } else { 5432 }
    }
}

impl Operation {
    /// The name of its span.
    pub(crate) fn span_name(&self) -> String {
        match self.entry {
            Entry::Http { method, route } => format!("{method} {route}"),
            Entry::Consume { topic } => format!("process {topic}"),
            Entry::Job { name } => name.to_owned(),
        }
    }
}

impl Language {
    /// `telemetry.sdk.language` and `telemetry.sdk.version`.
    pub(crate) fn sdk(self) -> (&'static str, &'static str) {
        match self {
            Self::Java => ("java", "1.58.0"),
            Self::Go => ("go", "1.40.0"),
            Self::Node => ("nodejs", "2.6.0"),
            Self::DotNet => ("dotnet", "1.15.0"),
        }
    }

    /// `process.runtime.name` and `process.runtime.version`.
    pub(crate) fn runtime(self) -> (&'static str, &'static str) {
        match self {
            Self::Java => ("OpenJDK Runtime Environment", "21.0.8+9-LTS"),
            Self::Go => ("go", "go1.25.3"),
            Self::Node => ("nodejs", "24.9.0"),
            Self::DotNet => (".NET", "9.0.9"),
        }
    }

    /// Name and version of the scope under which HTTP is instrumented.
    pub(crate) fn scope(self) -> (&'static str, &'static str) {
        match self {
            Self::Java => ("io.opentelemetry.spring-webmvc-6.0", "2.24.0-alpha"),
            Self::Go => ("go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "0.65.0"),
            Self::Node => ("@opentelemetry/instrumentation-http", "0.212.0"),
            Self::DotNet => ("Microsoft.AspNetCore", ""),
        }
    }

    /// Name and version of the scope of the runtime's own metrics.
    pub(crate) fn runtime_scope(self) -> (&'static str, &'static str) {
        match self {
            Self::Java => ("io.opentelemetry.runtime-telemetry-java17", "2.24.0-alpha"),
            Self::Go => ("go.opentelemetry.io/contrib/instrumentation/runtime", "0.65.0"),
            Self::Node => ("@opentelemetry/instrumentation-runtime-node", "0.24.0"),
            Self::DotNet => ("System.Runtime", ""),
        }
    }

    /// Whether its SDK is set to exponential histograms.
    pub(crate) fn exponential(self) -> bool {
        matches!(self, Self::Java | Self::DotNet)
    }
}
