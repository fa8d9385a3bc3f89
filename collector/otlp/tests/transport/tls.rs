//! TLS on both sides: our exporters against our receivers, with certificates made on the spot.

use std::sync::Arc;
use std::time::Duration;

use foreshock_otlp::compression::Compression;
use foreshock_otlp::export::{ClientTls, Exporter, ExporterHandle, Identity, Kind};
use foreshock_otlp::receive::{ServerTls, Settings};
use foreshock_otlp::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::time::Instant;

use crate::peer::*;

const GZIP: Option<Compression> = Some(Compression::Gzip);

/// An authority, and what it signs.
struct Authority {
    pem: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem().into_bytes();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { cert_pem: certificate.pem().into_bytes(), key_pem: key.serialize_pem().into_bytes() }
    }
}

fn exporter_with(wire: Wire, receiver: &Receiver, tls: ClientTls) -> ExporterHandle {
    let mut settings = exporter_settings(wire, &format!("https://{}", receiver.address), GZIP);
    let (Kind::Otlp(client) | Kind::OtlpHttp(client)) = &mut settings.kind else {
        panic!("no client");
    };
    client.tls = tls;
    Exporter::spawn(settings).unwrap()
}

/// Whether one request passes; if not, it comes back from the drain.
async fn passes(exporter: ExporterHandle) -> bool {
    let request = received(Signal::Logs, 1, 0, GZIP);
    exporter.entrance().try_reserve(&request).unwrap().send(request);
    let counters = exporter.counters();
    until("an answer or a retry", || counters.sent_items(Signal::Logs) + counters.retries() > 0).await;
    let leftover = exporter.drain(Instant::now() + Duration::from_millis(20)).await;
    leftover.requests.is_empty()
}

/// Both protocols work over TLS with the name checked, and with a client's certificate where one is wanted; a client
/// that trusts another authority, expects another name, or has no certificate gets nothing through.
#[tokio::test]
async fn round_trips() {
    let authority = Authority::new();
    let other = Authority::new();
    let server = authority.sign("receiver.test");
    for wire in [Wire::Grpc, Wire::Http] {
        for mutual in [false, true] {
            let keep = Arc::new(Keep::default());
            let settings = Settings {
                tls: Some(ServerTls {
                    cert_pem: server.cert_pem.clone(),
                    key_pem: server.key_pem.clone(),
                    client_ca_pem: mutual.then(|| authority.pem.clone()),
                }),
                ..Settings::default()
            };
            let receiver = receiver(wire, settings, keep.clone()).await;
            let good = ClientTls {
                ca_pem: Some(authority.pem.clone()),
                server_name: Some("receiver.test".to_owned()),
                identity: mutual.then(|| authority.sign("client.test")),
                insecure: false,
            };
            assert!(passes(exporter_with(wire, &receiver, good.clone())).await);
            let stranger = ClientTls { ca_pem: Some(other.pem.clone()), ..good.clone() };
            assert!(!passes(exporter_with(wire, &receiver, stranger)).await);
            let misnamed = ClientTls { server_name: Some("other.test".to_owned()), ..good.clone() };
            assert!(!passes(exporter_with(wire, &receiver, misnamed)).await);
            if mutual {
                let unknown = ClientTls { identity: Some(other.sign("client.test")), ..good.clone() };
                assert!(!passes(exporter_with(wire, &receiver, unknown)).await);
                let nobody = ClientTls { identity: None, ..good.clone() };
                assert!(!passes(exporter_with(wire, &receiver, nobody)).await);
            }
            assert_eq!(keep.0.lock().unwrap().len(), 1);
        }
    }
}

/// Unusable certificates are an error at the start, not at the first connection.
#[tokio::test]
async fn unusable_certificates_are_reported() {
    let authority = Authority::new();
    let (one, two) = (authority.sign("a.test"), authority.sign("b.test"));
    for (cert_pem, key_pem) in [
        (b"no pem".to_vec(), one.key_pem.clone()),
        (one.cert_pem.clone(), b"no pem".to_vec()),
        (one.cert_pem.clone(), two.key_pem.clone()),
    ] {
        let tls = ServerTls { cert_pem, key_pem, client_ca_pem: None };
        let settings = Settings { tls: Some(tls), ..Settings::default() };
        let receiver = receiver(Wire::Grpc, settings, Arc::new(Keep::default())).await;
        assert!(soon(receiver.task).await.unwrap().is_err());
    }
}
