//! Where telemetry comes from and goes to: addresses, certificates, credentials, queues and retries.

use super::{
    super::{
        ClientTls, Compression, Credentials, Exporter, ExporterKind, Listener, Queue, Retry, Secret, ServerTls,
        Upstream,
        problem::{At, Mark, hint},
        raw::{RawAuth, RawEndpoint, RawExporter, RawListener, RawTls},
    },
    Checker, MIB,
};
use crate::settings;
use std::time::Duration;

impl Checker<'_, '_> {
    pub(super) fn endpoint(&mut self, key: &str, raw: &RawEndpoint, default: &str) -> Option<String> {
        if raw.disabled {
            return None;
        }
        let Some(endpoint) = &raw.endpoint else { return Some(default.to_owned()) };
        self.address(&format!("{key}.endpoint"), endpoint);
        Some(endpoint.value.clone())
    }

    /// Checks the form `host:port`.
    fn address(&mut self, key: &str, endpoint: &At<String>) {
        if let Err(reason) = host_and_port(&endpoint.value) {
            let message =
                format!("{key}: takes `host:port`, for instance `127.0.0.1:4317`; `{}` {reason}", endpoint.value);
            self.problems.error(endpoint.mark, message);
        }
    }

    pub(super) fn listener(&mut self, protocol: &str, raw: &RawListener, default: &str) -> Option<Listener> {
        let key = format!("receivers.otlp.protocols.{protocol}");
        if let Some(endpoint) = &raw.endpoint {
            self.address(&format!("{key}.endpoint"), endpoint);
        }
        let tls = raw.tls.as_ref().and_then(|tls| {
            let (Some(cert), Some(private)) = (&tls.cert_file, &tls.key_file) else {
                self.problems.error(tls.mark, format!("{key}.tls: takes `cert_file` and `key_file`"));
                return None;
            };
            Some(ServerTls {
                cert_file: self.file(&format!("{key}.tls.cert_file"), cert),
                key_file: self.file(&format!("{key}.tls.key_file"), private),
                client_ca_file: tls
                    .client_ca_file
                    .as_ref()
                    .map(|ca| self.file(&format!("{key}.tls.client_ca_file"), ca)),
            })
        });
        if let Some(tls) = &tls {
            self.server_certificates(&key, raw.tls.as_ref().map_or_else(Mark::default, |tls| tls.mark), tls);
        }
        let credentials = raw.auth.as_ref().and_then(|auth| self.credentials(&key, auth));
        let mib = usize::try_from(raw.max_recv_msg_size_mib.unwrap_or(64)).unwrap_or(64);
        let endpoint = raw.endpoint.as_ref().map_or(default, |endpoint| &endpoint.value);
        Some(Listener { endpoint: endpoint.to_owned(), max_message_bytes: mib * MIB, tls, credentials })
    }

    /// Whether the files hold what they should; that they are there has been seen to.
    fn server_certificates(&mut self, key: &str, mark: Mark, tls: &ServerTls) {
        let files = [Some(&tls.cert_file), Some(&tls.key_file), tls.client_ca_file.as_ref()];
        if files.into_iter().flatten().all(|file| file.is_file())
            && let Err(error) = settings::server_tls(tls).and_then(|tls| Ok(tls.check()?))
        {
            self.problems.error(mark, format!("{key}.tls: {error:#}"));
        }
    }

    /// Who may send, or as whom is sent.
    fn credentials(&mut self, key: &str, auth: &RawAuth) -> Option<Credentials> {
        let key = format!("{key}.auth");
        match (&auth.basic, auth.bearer_token.is_some() || auth.bearer_token_file.is_some()) {
            (Some(basic), false) => {
                let key = format!("{key}.basic");
                let password = self.secret(&key, "password", basic.mark, &basic.password, &basic.password_file);
                let Some(username) = &basic.username else {
                    self.problems.error(basic.mark, format!("{key}.username: is missing"));
                    return None;
                };
                if username.value.is_empty() || username.value.contains(':') {
                    self.problems.error(username.mark, format!("{key}.username: has at least a letter and no colon"));
                }
                Some(Credentials::Basic { username: username.value.clone(), password: Secret(password?.value) })
            }
            (None, true) => {
                let token =
                    self.secret(&key, "bearer_token", auth.mark, &auth.bearer_token, &auth.bearer_token_file)?;
                if token.value.is_empty() || !token.value.bytes().all(|byte| byte.is_ascii_graphic()) {
                    self.problems.error(token.mark, format!("{key}: a token is visible ASCII without spaces"));
                }
                Some(Credentials::Bearer(Secret(token.value)))
            }
            _ => {
                let message = format!("{key}: takes one of `bearer_token`, `bearer_token_file` and `basic`");
                self.problems.error(auth.mark, message);
                None
            }
        }
    }

    /// A secret that stands in the file itself, or in one of its own.
    fn secret(
        &mut self,
        key: &str,
        what: &str,
        mark: Mark,
        given: &Option<At<String>>,
        file: &Option<At<String>>,
    ) -> Option<At<String>> {
        match (given, file) {
            (Some(given), None) => Some(given.clone()),
            (None, Some(path)) => {
                let found = self.file(&format!("{key}.{what}_file"), path);
                match std::fs::read_to_string(&found) {
                    Ok(text) => Some(At { value: text.trim_end_matches(['\r', '\n']).to_owned(), mark: path.mark }),
                    Err(error) => {
                        if found.is_file() {
                            let message = format!("{key}.{what}_file: `{}` can't be read: {error}", path.value);
                            self.problems.error(path.mark, message);
                        }
                        None
                    }
                }
            }
            _ => {
                self.problems.error(mark, format!("{key}: takes either `{what}` or `{what}_file`"));
                None
            }
        }
    }

    pub(super) fn exporter(&mut self, name: &At<String>, raw: &RawExporter) -> Option<Exporter> {
        let kind = name.value.split_once('/').map_or(name.value.as_str(), |(kind, _)| kind);
        let http = match kind {
            "otlp" | "otlp_grpc" => false,
            "otlphttp" | "otlp_http" => true,
            "debug" => {
                let kind = ExporterKind::Debug { detailed: raw.detailed };
                return Some(Exporter { name: name.value.clone(), kind });
            }
            other => {
                let hint = hint(other, ["otlp", "otlphttp", "debug"]);
                let message = format!("exporters.{}: there is `otlp`, `otlphttp` and `debug`{hint}", name.value);
                self.problems.error(name.mark, message);
                return None;
            }
        };
        let key = format!("exporters.{}", name.value);
        let Some(given) = &raw.endpoint else {
            self.problems.error(name.mark, format!("{key}.endpoint: is missing"));
            return None;
        };
        let insecure = raw.tls.as_ref().and_then(|tls| tls.insecure.clone());
        let endpoint = self.url(&format!("{key}.endpoint"), given, http, insecure.as_ref());
        let tls = raw.tls.as_ref().map(|tls| self.client_tls(&key, tls, &endpoint)).unwrap_or_default();
        let headers = self.headers(&key, &raw.headers);
        let credentials = raw.auth.as_ref().and_then(|auth| self.credentials(&key, auth));
        if let (Some(auth), true) = (&raw.auth, headers.iter().any(|(name, _)| name == "authorization")) {
            self.problems.error(auth.mark, format!("{key}.auth: there is an `authorization` under `headers` already"));
        }
        if let (Some(auth), Some(host)) = (&raw.auth, endpoint.strip_prefix("http://"))
            && !is_here(host)
        {
            let message = format!("{key}.auth: the endpoint is plain text, everybody on the way can read the secret");
            self.problems.warning(auth.mark, message);
        }
        let retry = &raw.retry;
        if let (Some(first), Some(longest)) = (&retry.initial_interval, &retry.max_interval)
            && first.value > longest.value
        {
            let message = format!("{key}.retry_on_failure: `initial_interval` is longer than `max_interval`");
            self.problems.error(first.mark, message);
        }
        let size = |value: Option<u64>, default: usize| value.and_then(|v| usize::try_from(v).ok()).unwrap_or(default);
        let longest = retry.max_interval.as_ref().map_or(Duration::from_secs(30), |at| at.value);
        let kind = ExporterKind::Otlp(Box::new(Upstream {
            http,
            endpoint,
            compression: raw.compression.unwrap_or(Compression::Gzip),
            headers,
            credentials,
            tls,
            timeout: raw.timeout.unwrap_or(Duration::from_secs(if http { 30 } else { 5 })),
            queue: Queue {
                requests: size(raw.queue.queue_size, 1000),
                bytes: size(raw.queue.queue_size_mib, 64) * MIB,
                consumers: size(raw.queue.num_consumers, 10),
                drop_when_full: raw.queue.drop_when_full.unwrap_or(false),
            },
            retry: Retry {
                enabled: retry.enabled.unwrap_or(true),
                initial_interval: retry
                    .initial_interval
                    .as_ref()
                    .map_or(Duration::from_secs(5).min(longest), |at| at.value),
                max_interval: longest,
                max_elapsed_time: retry.max_elapsed_time.unwrap_or(Duration::from_secs(300)),
                multiplier: retry.multiplier.unwrap_or(1.5),
            },
        }));
        Some(Exporter { name: name.value.clone(), kind })
    }

    pub(super) fn headers(&mut self, key: &str, given: &[(At<String>, At<String>)]) -> Vec<(String, Secret)> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
        let mut headers = Vec::new();
        for (name, value) in given {
            if name.value.is_empty() || !name.value.bytes().all(fits) {
                let message = format!("{key}.headers: `{}` can't be the name of a header", name.value);
                self.problems.error(name.mark, message);
            }
            if !value.value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
                self.problems.error(value.mark, format!("{key}.headers.{}: takes visible ASCII", name.value));
            }
            headers.push((name.value.to_ascii_lowercase(), Secret(value.value.clone())));
        }
        headers
    }

    pub(super) fn client_tls(&mut self, key: &str, tls: &RawTls, endpoint: &str) -> ClientTls {
        let identity = match (&tls.cert_file, &tls.key_file) {
            (Some(cert), Some(private)) => Some((
                self.file(&format!("{key}.tls.cert_file"), cert),
                self.file(&format!("{key}.tls.key_file"), private),
            )),
            (None, None) => None,
            _ => {
                self.problems.error(tls.mark, format!("{key}.tls: `cert_file` and `key_file` go together"));
                None
            }
        };
        let ca_file = tls.ca_file.as_ref().map(|ca| self.file(&format!("{key}.tls.ca_file"), ca));
        if endpoint.starts_with("http://") && (identity.is_some() || ca_file.is_some()) {
            self.problems
                .warning(tls.mark, format!("{key}.tls: certificates are of no use, the endpoint is plain text"));
        }
        let checked =
            ClientTls { ca_file, identity, server_name: tls.server_name.as_ref().map(|name| name.value.clone()) };
        let identity = checked.identity.iter().flat_map(|(cert, key)| [cert, key]);
        if checked.ca_file.iter().chain(identity).all(|file| file.is_file())
            && let Err(error) = settings::client_tls(&checked).and_then(|tls| Ok(tls.check()?))
        {
            self.problems.error(tls.mark, format!("{key}.tls: {error:#}"));
        }
        checked
    }

    /// A URL from what a Collector user writes: with a scheme, or `host:port` with TLS unless `tls.insecure` is set.
    pub(super) fn url(&mut self, key: &str, given: &At<String>, http: bool, insecure: Option<&At<bool>>) -> String {
        let text = given.value.trim_end_matches('/');
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest),
            Some((scheme, _)) => {
                self.problems.error(given.mark, format!("{key}: the scheme is `http` or `https`, this is `{scheme}`"));
                return String::new();
            }
            None => (None, text),
        };
        if scheme.is_none() && http {
            self.problems.error(given.mark, format!("{key}: takes a URL, for instance `http://{text}`"));
        }
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
        let default_port = if scheme.is_some() && !authority.rsplit(']').next().unwrap_or("").contains(':') {
            format!("{authority}:{}", if scheme == Some("https") { 443 } else { 80 })
        } else {
            authority.to_owned()
        };
        if let Err(reason) = host_and_port(&default_port) {
            self.problems.error(given.mark, format!("{key}: `{}` {reason}", given.value));
        }
        if default_port.ends_with(":0") {
            self.problems.error(given.mark, format!("{key}: port 0 can't be connected to"));
        }
        if !http && !path.is_empty() {
            self.problems.error(given.mark, format!("{key}: OTLP/gRPC has no path, `/{path}` must go"));
        }
        match (scheme, insecure) {
            (Some("https"), Some(At { value: true, mark })) => {
                let message = format!("{key}: `https` and `tls.insecure: true` contradict each other");
                self.problems.error(*mark, message);
            }
            (Some("http"), Some(At { value: false, mark })) => {
                let message = format!("{key}: `http` and `tls.insecure: false` contradict each other");
                self.problems.error(*mark, message);
            }
            _ => {}
        }
        let plain = insecure.is_some_and(|at| at.value);
        let scheme = scheme.unwrap_or(if plain { "http" } else { "https" });
        format!("{scheme}://{rest}")
    }
}

/// Whether the text is `host:port`; the error ends a sentence that begins with the text.
fn host_and_port(text: &str) -> Result<(), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
    if host.is_empty() {
        return Err("has no host");
    }
    if host.starts_with('[') != host.ends_with(']') || (host.contains(':') && !host.starts_with('[')) {
        return Err("has an IPv6 address without brackets");
    }
    if host.bytes().any(|byte| byte.is_ascii_whitespace() || b"/@?#\\".contains(&byte)) {
        return Err("has a host that can't be");
    }
    port.parse::<u16>().map(|_| ()).map_err(|_| "has a port that is not a number from 0 to 65535")
}

/// Whether `host:port` is this machine, as far as its name tells.
pub(super) fn is_here(address: &str) -> bool {
    let host = address.split('/').next().unwrap_or("").rsplit_once(':').map_or(address, |(host, _)| host);
    matches!(host, "localhost" | "[::1]" | "[::]" | "0.0.0.0") || host.starts_with("127.")
}

/// Whether two addresses `host:port` can't both be listened on, or are the two ends of one connection. Port 0 is a free one
/// each time.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let port = |address: &str| address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port(one).is_some_and(|port| port != 0)
        && port(one) == port(other)
        && (one == other || (is_here(one) && is_here(other)))
}
