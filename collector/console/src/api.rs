//! The routes.

use crate::{NotAcknowledged, Source, guard, page};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

type Shared = State<Arc<dyn Source>>;

pub(crate) fn router(source: Arc<dyn Source>, loopback: bool) -> Router {
    Router::new()
        .route("/", get(async |State(source): Shared| page::overview(&*source)))
        .route(
            "/incidents/{id}",
            get(async |State(source): Shared, Path(id): Path<String>| page::incident(&*source, &id)),
        )
        .route(
            "/services/{*name}",
            get(async |State(source): Shared, Path(name): Path<String>| page::service(&*source, &name)),
        )
        .route("/style.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE)))
        .route("/console.js", get(async || ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], page::SCRIPT)))
        .route("/metrics", get(metrics))
        .route("/api/v1/services", get(async |State(source): Shared| Json(json!({ "services": source.services() }))))
        .route("/api/v1/incidents", get(incidents))
        .route("/api/v1/incidents/{id}", get(incident))
        .route("/api/v1/incidents/{id}/acknowledge", post(acknowledge))
        .route("/api/v1/anomalies", get(anomalies))
        .route("/api/v1/selfcheck", get(async |State(source): Shared| Json(json!({ "checks": source.checks() }))))
        .route("/api/v1/graph", get(async |State(source): Shared| Json(source.graph())))
        .fallback(async || error(StatusCode::NOT_FOUND, "there is nothing here"))
        .layer(DefaultBodyLimit::max(64 * 1024))
        .layer(middleware::from_fn_with_state(loopback, guard::check))
        .with_state(source)
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

impl Limit {
    fn get(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, 1000)
    }
}

fn error(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

async fn metrics(State(source): Shared) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], source.metrics()).into_response()
}

async fn incidents(State(source): Shared, Query(limit): Query<Limit>) -> Json<Value> {
    Json(json!({ "incidents": source.incidents(limit.get()) }))
}

async fn anomalies(State(source): Shared, Query(limit): Query<Limit>) -> Json<Value> {
    Json(json!({ "anomalies": source.anomalies(limit.get()) }))
}

async fn incident(State(source): Shared, Path(id): Path<String>) -> Response {
    match source.incident(&id) {
        Some(incident) => Json(incident).into_response(),
        None => error(StatusCode::NOT_FOUND, "there is no incident with this id"),
    }
}

async fn acknowledge(State(source): Shared, Path(id): Path<String>, _body: Json<Value>) -> Response {
    match source.acknowledge(&id) {
        Ok(()) => (StatusCode::ACCEPTED, Json(json!({ "id": id, "requested": "acknowledge" }))).into_response(),
        Err(refusal @ NotAcknowledged::NoSuchIncident) => error(StatusCode::NOT_FOUND, &refusal.to_string()),
        Err(refusal @ NotAcknowledged::Busy) => error(StatusCode::SERVICE_UNAVAILABLE, &refusal.to_string()),
    }
}
