//! The agents' listener: TLS with our own CA, HTTP/1.1 and HTTP/2.
//!
//! An own accept loop, because the certificate that a connection was opened with has to reach the handlers. A client
//! certificate is optional in the handshake (enrolment has none yet); one that was not signed by our CA, or has
//! expired, breaks the handshake. The listener's own certificate is short-lived, made at start and replaced in place.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::ca::{Ca, fingerprint};
use super::peer::Presented;

/// A caller that takes longer than this for the handshake is dropped.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may stand idle between two requests.
const IDLE: Duration = Duration::from_secs(90);
/// How long requests may go on after the stop; blocked watches end at once, streams of images may not.
const GRACE: Duration = Duration::from_secs(5);
const RENEW_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The listener's certificate, replaceable while it runs.
#[derive(Debug)]
struct Certificate(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().expect("no code panics while holding this lock")))
    }
}

/// A listener that is ready to serve.
pub(crate) struct Listener {
    socket: TcpListener,
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
    ca: Arc<Ca>,
    names: Vec<String>,
}

impl Listener {
    /// Makes the certificate for `names` and the TLS configuration.
    pub(crate) fn new(socket: TcpListener, ca: Arc<Ca>, names: &[String]) -> anyhow::Result<Self> {
        let certificate = Arc::new(Certificate(RwLock::new(Arc::new(ca.sign_listener(names)?))));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(ca.certificate().clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            socket,
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            certificate,
            ca,
            names: names.to_vec(),
        })
    }

    /// Serves until `stop` is cancelled and what runs then has ended or [`GRACE`] is over.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let mut renewal = tokio::time::interval_at(tokio::time::Instant::now() + RENEW_EVERY, RENEW_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = renewal.tick() => self.renew(),
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, _)) => self.connection(stream, &graceful, router.clone()),
                    Err(e) => {
                        tracing::warn!(error = %e, "the agents' listener cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await; // out of descriptors: let some go
                    }
                },
            }
        }
        drop(self.socket);
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    }

    fn renew(&self) {
        match self.ca.sign_listener(&self.names) {
            Ok(new) => {
                *self.certificate.0.write().expect("no code panics while holding this lock") = Arc::new(new);
            }
            Err(e) => tracing::error!(error = %e, "the agents' listener keeps its old certificate"),
        }
    }

    fn connection(&self, stream: TcpStream, graceful: &GracefulShutdown, router: Router) {
        let acceptor = self.acceptor.clone();
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true); // only costs latency
            let tls = match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(tls)) => tls,
                Ok(Err(e)) => return tracing::debug!(error = %e, "TLS handshake with an agent failed"),
                Err(_) => return,
            };
            let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let presented = Presented(certificate.map(fingerprint));
            let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                let mut request = request.map(axum::body::Body::new);
                request.extensions_mut().insert(presented.clone());
                router.clone().oneshot(request)
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
            builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30)));
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(tls), service).into_owned();
            if let Err(e) = watcher.watch(connection).await {
                tracing::debug!(error = %e, "connection of an agent ended");
            }
        });
    }
}
