//! From the configuration to what the parts are told.

use crate::config::{self, Compression, Config, Credentials, Exporter, ExporterKind, Listener};
use anyhow::Context as _;
use foreshock_engine::{
    anomaly::{AnomalySettings, matter::MatterSettings},
    calibration::budget::BudgetSettings,
    incident::IncidentSettings,
    ingest::IngestSettings,
    shard::ShardSettings,
};
use foreshock_otlp::{
    authorization::Authorization,
    compression,
    export::{
        ClientSettings, ClientTls, ExporterSettings, Identity, Kind, OnFull, QueueSettings, RetrySettings, Verbosity,
    },
    receive::{self, InFlightBytes, ReceiverCounters, ServerTls},
};
use foreshock_sandbox::PoolSettings;
use std::{path::Path, sync::Arc, time::Duration};

/// Nanoseconds, up to 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What each shard's windows are made by.
#[must_use]
pub fn ingest(config: &Config) -> IngestSettings {
    let (detection, usual) = (&config.detection, IngestSettings::default());
    IngestSettings {
        window_nanos: nanos(detection.window),
        lateness_nanos: nanos(detection.lateness),
        idle_nanos: nanos(detection.idle),
        max_series_per_service: detection.series_per_service.unwrap_or(usual.max_series_per_service),
        max_streams_per_service: detection.streams_per_service.unwrap_or(usual.max_streams_per_service),
        max_templates_per_service: detection.templates_per_service.unwrap_or(usual.max_templates_per_service),
        max_operations_per_service: detection.operations_per_service.unwrap_or(usual.max_operations_per_service),
        ..usual
    }
}

/// What each shard works by.
#[must_use]
pub fn shard(config: &Config) -> ShardSettings {
    ShardSettings { ingest: ingest(config), anomalies: anomalies(config) }
}

/// When anomalies open and end.
#[must_use]
pub fn anomalies(config: &Config) -> AnomalySettings {
    let (chosen, usual) = (&config.detection.anomalies, AnomalySettings::default());
    AnomalySettings {
        open_score: chosen.open_score.unwrap_or(usual.open_score),
        close_score: chosen.close_score.unwrap_or(usual.close_score),
        open_count: chosen.open_windows.unwrap_or(usual.open_count),
        open_of: chosen.open_of.unwrap_or(usual.open_of),
        close_after: chosen.close_windows.unwrap_or(usual.close_after),
        min_duration_nanos: chosen.minimum_duration.map_or(usual.min_duration_nanos, nanos),
        volume_floor: chosen.minimum_volume.unwrap_or(usual.volume_floor),
        unknown_volume_windows: chosen.unknown_volume_windows.unwrap_or(usual.unknown_volume_windows),
        budget: BudgetSettings {
            per_service_day: config.detection.false_alarms_per_service_day.unwrap_or(usual.budget.per_service_day),
            refractory_windows: chosen.refractory_windows.unwrap_or(usual.budget.refractory_windows),
        },
        matter: MatterSettings {
            relative: chosen.minimum_change.unwrap_or(usual.matter.relative),
            seconds: chosen.minimum_latency_change.map_or(usual.matter.seconds, |least| least.as_secs_f64()),
            error_share: chosen.minimum_error_change.unwrap_or(usual.matter.error_share),
            share: chosen.minimum_share_change.unwrap_or(usual.matter.share),
            ..usual.matter
        },
        ..usual
    }
}

/// When incidents open and end.
#[must_use]
pub fn incidents(config: &Config) -> IncidentSettings {
    let (chosen, usual) = (&config.detection.incidents, IncidentSettings::default());
    IncidentSettings {
        join_nanos: chosen.join_within.map_or(usual.join_nanos, nanos),
        persist_windows: chosen.persistence_windows.unwrap_or(usual.persist_windows),
        persist_readings: chosen.persistence_readings.unwrap_or(usual.persist_readings),
        growth_nanos: chosen.growth_within.map_or(usual.growth_nanos, nanos),
        end_lag_windows: anomalies(config).close_after,
        quiet_nanos: chosen.quiet.map_or(usual.quiet_nanos, nanos),
        reopen_nanos: chosen.reopen_within.map_or(usual.reopen_nanos, nanos),
        merge_nanos: chosen.merge_within.map_or(usual.merge_nanos, nanos),
        version_nanos: chosen.version_change_within.map_or(usual.version_nanos, nanos),
        max_services: config.detection.services.max(usual.max_services),
        ..usual
    }
}

/// What each shard's detectors are told. A replay must not depend on what else the machine does, so its deadlines are long.
#[must_use]
pub fn pool(config: &Config, is_replay: bool) -> PoolSettings {
    let usual = PoolSettings::new(nanos(config.detection.window));
    PoolSettings { deadline_scale: if is_replay { 100 } else { usual.deadline_scale }, ..usual }
}

/// What a receiver is told.
///
/// # Errors
/// If a certificate can't be read.
pub fn receiver(
    listener: &Listener,
    in_flight: &InFlightBytes,
    counters: &Arc<ReceiverCounters>,
    drain_timeout: Duration,
) -> anyhow::Result<receive::Settings> {
    Ok(receive::Settings {
        max_message_bytes: listener.max_message_bytes,
        max_plain_bytes: listener.max_message_bytes,
        in_flight: in_flight.clone(),
        tls: listener.tls.as_ref().map(server_tls).transpose()?,
        authorization: listener.credentials.as_ref().map(authorization),
        drain_timeout,
        counters: Arc::clone(counters),
        ..receive::Settings::default()
    })
}

/// What an exporter is told.
///
/// # Errors
/// If a certificate can't be read.
pub fn exporter(exporter: &Exporter) -> anyhow::Result<ExporterSettings> {
    let upstream = match &exporter.kind {
        ExporterKind::Debug { detailed } => {
            let verbosity = if *detailed { Verbosity::Detailed } else { Verbosity::Basic };
            return Ok(ExporterSettings::new(&exporter.name, Kind::Debug(verbosity)));
        }
        ExporterKind::Otlp(upstream) => upstream,
    };
    let client = ClientSettings {
        endpoint: upstream.endpoint.clone(),
        compression: match upstream.compression {
            Compression::None => None,
            Compression::Gzip => Some(compression::Compression::Gzip),
            Compression::Zstd => Some(compression::Compression::Zstd),
        },
        headers: upstream.headers.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect(),
        authorization: upstream.credentials.as_ref().map(authorization),
        tls: ClientTls { insecure: upstream.endpoint.starts_with("http://"), ..client_tls(&upstream.tls)? },
        timeout: upstream.timeout,
    };
    let (queue, retry) = (upstream.queue, upstream.retry);
    Ok(ExporterSettings {
        name: exporter.name.clone(),
        kind: if upstream.http { Kind::OtlpHttp(client) } else { Kind::Otlp(client) },
        queue: QueueSettings {
            queue_size: queue.requests,
            queue_size_bytes: queue.bytes,
            num_consumers: queue.consumers,
            on_full: if queue.drop_when_full { OnFull::Drop } else { OnFull::Refuse },
        },
        retry: RetrySettings {
            enabled: retry.enabled,
            initial_interval: retry.initial_interval,
            max_interval: retry.max_interval,
            max_elapsed_time: retry.max_elapsed_time,
            multiplier: retry.multiplier,
            ..RetrySettings::default()
        },
    })
}

/// Reads the files of a listener's TLS.
///
/// # Errors
/// If one can't be read.
pub fn server_tls(tls: &config::ServerTls) -> anyhow::Result<ServerTls> {
    Ok(ServerTls {
        cert_pem: read(&tls.cert_file)?,
        key_pem: read(&tls.key_file)?,
        client_ca_pem: tls.client_ca_file.as_deref().map(read).transpose()?,
    })
}

/// Reads the files of TLS to a far side.
///
/// # Errors
/// If one can't be read.
pub fn client_tls(tls: &config::ClientTls) -> anyhow::Result<ClientTls> {
    let identity = match &tls.identity {
        None => None,
        Some((cert, key)) => Some(Identity { cert_pem: read(cert)?, key_pem: read(key)? }),
    };
    Ok(ClientTls {
        insecure: false,
        ca_pem: tls.ca_file.as_deref().map(read).transpose()?,
        identity,
        server_name: tls.server_name.clone(),
    })
}

fn authorization(credentials: &Credentials) -> Authorization {
    match credentials {
        Credentials::Bearer(token) => Authorization::Bearer(token.0.clone()),
        Credentials::Basic { username, password } => {
            Authorization::Basic { username: username.clone(), password: password.0.clone() }
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("`{}` can't be read", path.display()))
}
