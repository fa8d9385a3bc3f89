//! Foreshock's own telemetry: its log's level, and where metrics, spans and log records are pushed.

use super::{
    super::{
        MetricsPush, Push, Telemetry, TracesPush,
        problem::At,
        raw::{Raw, RawPush},
    },
    Checker,
};
use std::time::Duration;
use tracing_subscriber::filter::{Directive, LevelFilter};

impl Checker<'_, '_> {
    pub(super) fn telemetry(&mut self, raw: &Raw) -> Telemetry {
        let telemetry = &raw.telemetry;
        let level = telemetry.level.as_ref().map_or_else(|| "info".to_owned(), |level| level.value.to_lowercase());
        if let Some(given) = &telemetry.level
            && let Err(reason) = check_level(&level)
        {
            let message = format!("service.telemetry.logs.level: `{}` is not a level: {reason}", given.value);
            self.problems.error(given.mark, message);
        }
        let metrics = self.push("metrics", &telemetry.metrics).map(|to| MetricsPush {
            to,
            interval: telemetry.metrics.as_ref().and_then(|push| push.interval).unwrap_or(Duration::from_secs(60)),
        });
        let traces = self.push("traces", &telemetry.traces).map(|to| TracesPush {
            to,
            sampling: telemetry.traces.as_ref().and_then(|push| push.sampling).unwrap_or(0.01),
        });
        let logs = self.push("logs", &telemetry.logs);
        let resource = telemetry.resource.iter().map(|(key, value)| (key.value.clone(), value.value.clone())).collect();
        Telemetry { level, format: telemetry.format.unwrap_or_default(), metrics, traces, logs, resource }
    }

    fn push(&mut self, signal: &str, push: &Option<RawPush>) -> Option<Push> {
        let push = push.as_ref()?;
        let key = format!("service.telemetry.{signal}.otlp");
        let headers = self.headers(&key, &push.headers);
        let Some(given) = &push.endpoint else {
            self.problems.error(push.mark, format!("{key}.endpoint: is missing"));
            return None;
        };
        // Without a scheme it is plain text, other than an exporter's.
        let insecure = push.tls.as_ref().and_then(|tls| tls.insecure.clone());
        let insecure = insecure.unwrap_or(At { value: !given.value.starts_with("https://"), mark: given.mark });
        let endpoint = self.url(&format!("{key}.endpoint"), given, false, Some(&insecure));
        let tls = push.tls.as_ref().map(|tls| self.client_tls(&key, tls, &endpoint)).unwrap_or_default();
        Some(Push { headers, endpoint, tls })
    }
}

/// A level for everything (`warn`), or one for each part (`info,foreshock_otlp=debug`).
fn check_level(text: &str) -> Result<(), String> {
    for directive in text.split(',') {
        match directive.split_once('=') {
            Some(_) => drop(directive.parse::<Directive>().map_err(|error| error.to_string())?),
            None if directive.parse::<LevelFilter>().is_ok() => {}
            None => return Err("it is one of `off`, `error`, `warn`, `info`, `debug` and `trace`".to_owned()),
        }
    }
    Ok(())
}
