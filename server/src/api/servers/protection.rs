//! `POST /servers/{id}/actions/change_protection`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::actions::ActionResponse;
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::vps;
use crate::error::{Error, Result};
use crate::ids::VpsId;

/// What is protected. Both are one here, as with hcloud: they must be the same where both are given.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeServerProtection {
    /// Whether it cannot be deleted.
    delete: Option<bool>,
    /// As `delete`.
    rebuild: Option<bool>,
}

impl ChangeServerProtection {
    fn read(&self) -> Result<Option<bool>> {
        match (self.delete, self.rebuild) {
            (Some(delete), Some(rebuild)) if delete != rebuild => {
                Err(Error::invalid("rebuild", "must be the same as delete"))
            }
            (delete, rebuild) => Ok(delete.or(rebuild)),
        }
    }
}

/// Protects a server from being deleted, or ends that.
#[utoipa::path(post, path = "/servers/{id}/actions/change_protection", tag = "server actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = ChangeServerProtection,
    responses((status = 201, body = ActionResponse), Problems))]
pub(super) async fn change_protection(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    Body(wanted): Body<ChangeServerProtection>,
) -> Result<(StatusCode, Json<ActionResponse>)> {
    let action = vps::protect(&app, tenant.project_id, id, wanted.read()?).await?;
    Ok((StatusCode::CREATED, Json(action.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_one() {
        let read = |delete, rebuild| ChangeServerProtection { delete, rebuild }.read();
        assert_eq!(read(Some(true), Some(true)).unwrap(), Some(true));
        assert_eq!(read(None, Some(false)).unwrap(), Some(false));
        assert_eq!(read(None, None).unwrap(), None);
        assert!(read(Some(true), Some(false)).is_err());
    }
}
