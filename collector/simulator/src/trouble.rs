//! What goes wrong with a request, and what its language's instrumentation calls that.

use crate::{
    instance::text,
    model::{Language, ServiceId},
    services::SERVICES,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;

/// Why a request could not be answered, or a call failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    /// No answer within the caller's patience.
    Timeout,
    /// Nobody listens there.
    Refused,
    /// The far side answered with this status.
    Answered(u16),
    /// No free connection in the pool.
    PoolTimeout,
    /// The worker queue is full.
    Overloaded,
    /// What was read had changed before it was written.
    Conflict,
    /// The volume is full.
    DiskFull,
}

impl Trouble {
    /// `error.type` of a client's span and metrics: the status if there was one, else a word of low cardinality, as the
    /// semantic conventions have it.
    pub(crate) fn seen_by_client(self) -> String {
        match self {
            Self::Timeout => "timeout".to_owned(),
            Self::Refused => "connection_refused".to_owned(),
            Self::Answered(status) => status.to_string(),
            other => other.exception(Language::Go).to_owned(),
        }
    }

    /// The status that a server answers with when this stops it.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Timeout => 504,
            Self::Refused | Self::Overloaded => 503,
            Self::Answered(_) => 502,
            Self::PoolTimeout | Self::Conflict | Self::DiskFull => 500,
        }
    }

    /// `exception.type`: the class or type that is thrown or returned.
    pub(crate) fn exception(self, language: Language) -> &'static str {
        match (language, self) {
            (Language::Java, Self::Timeout) => "java.net.SocketTimeoutException",
            (Language::Java, Self::Refused) => "java.net.ConnectException",
            (Language::Java, Self::Answered(_)) => "org.springframework.web.client.HttpServerErrorException",
            (Language::Java, Self::PoolTimeout) => "java.sql.SQLTransientConnectionException",
            (Language::Java, Self::Overloaded) => "java.util.concurrent.RejectedExecutionException",
            (Language::Java, Self::Conflict) => "org.springframework.dao.OptimisticLockingFailureException",
            (Language::Java, Self::DiskFull) => "java.io.IOException",
            (Language::DotNet, Self::Timeout) => "System.Threading.Tasks.TaskCanceledException",
            (Language::DotNet, Self::PoolTimeout) => "StackExchange.Redis.RedisTimeoutException",
            (Language::DotNet, Self::Overloaded) => "System.InvalidOperationException",
            (Language::DotNet, Self::Conflict) => "System.Data.DBConcurrencyException",
            (Language::DotNet, Self::DiskFull) => "System.IO.IOException",
            (Language::DotNet, Self::Refused | Self::Answered(_)) => "System.Net.Http.HttpRequestException",
            (Language::Go, Self::Timeout) => "context.deadlineExceededError",
            (Language::Go, Self::Refused) => "*net.OpError",
            (Language::Go, _) => "*errors.errorString",
            (Language::Node, Self::Timeout | Self::Refused) => "SystemError",
            (Language::Node, _) => "Error",
        }
    }

    /// `exception.*` attributes of the log record that tells of it; `message` is what the record says.
    pub(crate) fn attributes(self, service: ServiceId, message: &str) -> Vec<KeyValue> {
        let about = &SERVICES[service];
        let class = self.exception(about.language);
        let mut attributes = vec![text("exception.type", class), text("exception.message", message)];
        // Go's errors carry no stack.
        let frames = match about.language {
            Language::Java => [
                format!("\tat com.shop.{0}.api.RequestHandler.handle(RequestHandler.java:88)", about.name),
                "\tat org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:1088)"
                    .to_owned(),
                "\tat java.base/java.lang.Thread.run(Thread.java:1583)".to_owned(),
            ],
            Language::DotNet => [
                "   at Shop.Cart.Store.CartStore.ReadAsync(String user)".to_owned(),
                "   at Shop.Cart.Api.CartController.Get(String user)".to_owned(),
                "   at Microsoft.AspNetCore.Mvc.Infrastructure.ActionMethodExecutor.Execute()".to_owned(),
            ],
            Language::Node => [
                "    at fetchJson (/app/src/client.js:41:11)".to_owned(),
                "    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)".to_owned(),
                "    at async handle (/app/src/routes.js:77:18)".to_owned(),
            ],
            Language::Go => return attributes,
        };
        attributes.push(text("exception.stacktrace", &format!("{class}: {message}\n{}", frames.join("\n"))));
        attributes
    }
}
