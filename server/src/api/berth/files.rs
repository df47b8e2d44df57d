//! `/servers/{id}/files`: files inside a server, streamed from and to its host.
//!
//! Nothing is kept on the way: a slow client is waited for, and the host reads no further. The paths are the guest's own,
//! and are walked by its root inside its namespaces. Reading needs a token that may write too: it is root who reads.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use berth_proto::{
    ExecControl, FileHead, FileTask, LARGEST_FILE, LARGEST_MESSAGE, Stream, check_path, close,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Id, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::console::{End, fetch};
use crate::db::vps;
use crate::domain::console::may_reach;
use crate::error::{Error, Result};
use crate::fleet::text;
use crate::ids::VpsId;

/// How long the host may say nothing, or take nothing.
const STUCK: Duration = Duration::from_secs(60);
/// Pings to a host that waits for a slow client are this far apart.
const PING: Duration = Duration::from_secs(20);
/// The first line of an answer is shorter than this.
const LONGEST_HEAD: usize = 1024;
const MODE: HeaderName = HeaderName::from_static("x-berth-mode");

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, put))
}

/// Reads a regular file, or lists a directory.
#[utoipa::path(get, path = "/servers/{id}/files", tag = "Inside servers", security(("token" = [])),
    params(("id" = i64, Path), ("path" = String, Query, description = "Absolute path in the server")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream",
        description = "The bytes of a file, with `X-Berth-Mode`; or a directory as JSON: `path`, `entries` (`name`, \
                       `kind`, `size`, `mode`, `uid`, `gid`, `modified`), `truncated` after 10,000 of them"),
        Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>, query: Query) -> Result<Response> {
    let mut host = open(&app, tenant, id, &query, |path| Ok(FileTask::Get { path })).await?;
    let (head, rest) = match head(&mut host).await {
        Ok(read) => read,
        Err(end) => return Err(refusal(&end)),
    };
    let body = Body::from_stream(bytes(host, rest));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let value = match head {
        FileHead::Directory => "application/json",
        FileHead::File { .. } => "application/octet-stream",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
    if let FileHead::File { size, mode, .. } = head {
        if let Ok(mode) = HeaderValue::from_str(&format!("{:04o}", mode & 0o7777)) {
            headers.insert(MODE, mode);
        }
        if let Some(size) = size {
            headers.insert(header::CONTENT_LENGTH, size.into());
        }
    }
    Ok(response)
}

/// Puts a regular file in place, whole or not at all, owned by root.
#[utoipa::path(put, path = "/servers/{id}/files", tag = "Inside servers", security(("token" = [])),
    params(("id" = i64, Path), ("path" = String, Query, description = "Absolute path in the server"),
           ("mode" = Option<String>, Query, description = "Permission bits, octal; 0644 if absent")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "At most 1 GiB"),
    responses((status = 204, description = "It is in place"), Problems))]
async fn put(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    query: Query,
    headers: axum::http::HeaderMap,
    body: Body,
) -> Result<StatusCode> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > LARGEST_FILE) {
        return Err(too_large());
    }
    let task = |path| Ok(FileTask::Put { path, mode: mode(query.one("mode"))? });
    let mut host = open(&app, tenant, id, &query, task).await?;
    let end = send(&mut host, body).await?;
    match end.code {
        close::ENDED => Ok(StatusCode::NO_CONTENT),
        _ => Err(refusal(&end)),
    }
}

fn too_large() -> Error {
    Error::TooLarge(usize::try_from(LARGEST_FILE).unwrap_or(usize::MAX))
}

fn mode(text: Option<&str>) -> Result<u32> {
    let Some(text) = text else { return Ok(0o644) };
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| Error::invalid("mode", "must be permission bits in octal, such as 0644"))
}

/// The host's stream for a file.
async fn open(
    app: &App,
    tenant: Tenant,
    id: VpsId,
    query: &Query,
    task: impl FnOnce(String) -> Result<FileTask>,
) -> Result<WebSocket> {
    let found = vps::get(&app.db, tenant.project_id, id).await?;
    if !tenant.writable {
        return Err(Error::Forbidden(
            "the files of a server need a token that may write, to read them too".into(),
        ));
    }
    let path = query.one("path").ok_or_else(|| Error::invalid("path", "is required"))?.to_owned();
    check_path(&path).map_err(|wrong| Error::invalid("path", wrong))?;
    let task = task(path)?;
    may_reach(found.status())?;
    let what = Stream::File { vps: id, task };
    fetch(app, found.host_id, id, &what).await.map_err(|end| refusal(&end))
}

fn refusal(end: &End) -> Error {
    match end.code {
        close::NO_SUCH if end.reason == "there is no such file" => Error::NotFound("file"),
        close::NO_SUCH => Error::invalid("path", end.reason.clone()),
        close::BUSY => Error::Locked(end.reason.clone()),
        _ => Error::ResourceUnavailable(end.reason.clone()),
    }
}

/// Reads until the host closes; why.
pub(super) async fn told(host: &mut WebSocket) -> End {
    loop {
        match timeout(STUCK, host.recv()).await {
            Ok(Some(Ok(Message::Close(frame)))) => return closed(frame),
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(_)) | None) | Err(_) => return lost(),
        }
    }
}

fn closed(frame: Option<axum::extract::ws::CloseFrame>) -> End {
    frame.map_or_else(lost, |frame| End::new(frame.code, text::line(&frame.reason, 120)))
}

fn lost() -> End {
    End::new(close::LOST, "the connection to the server's host broke")
}

/// The first line, and what came along with it.
async fn head(host: &mut WebSocket) -> Result<(FileHead, Bytes), End> {
    let mut read = Vec::new();
    loop {
        match timeout(STUCK, host.recv()).await {
            Ok(Some(Ok(Message::Binary(bytes)))) => read.extend_from_slice(&bytes),
            Ok(Some(Ok(Message::Close(frame)))) => return Err(closed(frame)),
            Ok(Some(Ok(_))) => continue,
            Ok(Some(Err(_)) | None) | Err(_) => return Err(lost()),
        }
        if let Some(at) = read.iter().position(|byte| *byte == b'\n') {
            let head = serde_json::from_slice(&read[..at]).map_err(|_| lost())?;
            return Ok((head, read.split_off(at + 1).into()));
        }
        if read.len() > LONGEST_HEAD {
            return Err(lost());
        }
    }
}

/// What follows, as the body of an answer; an error where the host did not say that this was all.
fn bytes(host: WebSocket, first: Bytes) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    let rest = futures_util::stream::unfold(Some(host), async |host| {
        let mut host = host?;
        loop {
            let end = match timeout(STUCK, host.recv()).await {
                Ok(Some(Ok(Message::Binary(bytes)))) => return Some((Ok(bytes), Some(host))),
                Ok(Some(Ok(Message::Close(frame)))) => closed(frame),
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(_)) | None) | Err(_) => lost(),
            };
            return match end.code {
                close::ENDED => None,
                _ => Some((Err(std::io::Error::other(end.reason)), None)),
            };
        }
    });
    let first = (!first.is_empty()).then_some(Ok(first));
    futures_util::stream::iter(first).chain(rest)
}

/// Sends a body; what the host says at the end. A body that breaks off is not finished, so nothing comes of it.
async fn send(host: &mut WebSocket, body: Body) -> Result<End> {
    let mut body = body.into_data_stream();
    let mut sent = 0;
    loop {
        let piece = tokio::select! {
            said = host.recv() => match said {
                Some(Ok(Message::Close(frame))) => return Ok(closed(frame)),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Ok(lost()),
            },
            piece = timeout(PING, body.next()) => piece,
        };
        let messages = match piece {
            Ok(Some(Ok(bytes))) => {
                sent += bytes.len() as u64;
                if sent > LARGEST_FILE {
                    return Err(too_large());
                }
                bytes.chunks(LARGEST_MESSAGE / 2).map(|piece| Message::binary(piece.to_vec())).collect()
            }
            Ok(Some(Err(_))) => return Err(Error::Json("the request body broke off".into())),
            Ok(None) => break,
            Err(_) => vec![Message::Ping(Bytes::new())],
        };
        for message in messages {
            if !matches!(timeout(STUCK, host.send(message)).await, Ok(Ok(()))) {
                // It may have said why.
                return Ok(told(host).await);
            }
        }
    }
    let over = Message::text(ExecControl::StdinClose {}.to_text());
    let _ = timeout(STUCK, host.send(over)).await; // whether it heard that is told below
    Ok(told(host).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode(None).unwrap(), 0o644);
        assert_eq!(mode(Some("0755")).unwrap(), 0o755);
        for bad in ["", "8", "rwx", "-1", "10000", "0o644"] {
            assert_eq!(mode(Some(bad)).unwrap_err().code(), "invalid_input", "{bad}");
        }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let code = |code, reason: &str| refusal(&End::new(code, reason)).code();
        assert_eq!(code(close::NO_SUCH, "there is no such file"), "not_found");
        assert_eq!(code(close::NO_SUCH, "it is not a regular file"), "invalid_input");
        assert_eq!(code(close::BUSY, ""), "locked");
        assert_eq!(code(close::SILENT, ""), "resource_unavailable");
    }
}
