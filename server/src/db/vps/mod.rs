//! VPSes: the rented things.
//!
//! Reading is in `read`, and each change of desired state has a file of its own: `create`, `power`, `password`,
//! `resize`, `limits`, `update`, `protect`, `delete`. All changes have the same form: one transaction that locks the host's row and then the
//! VPS's, decides, writes the new desired state under a new generation and the host's new sequence, writes the action,
//! commits; then the host and the project's pages are woken.

mod create;
mod delete;
mod idempotency;
mod isolation;
mod life;
mod limits;
mod lock;
mod order;
mod password;
mod power;
mod protect;
mod read;
mod resize;
mod room;
mod update;

pub(super) use create::random_mac;
pub use create::{Created, NewVps, PublicIp, create};
pub use delete::{abandon_create, delete, finish_delete};
pub use idempotency::{IdempotencyKey, forget_old_keys};
pub use isolation::{Network, isolate, network};
pub use life::{freeze, set_autostart_order, set_restart_policy};
pub use limits::{Report as LimitsReport, limits, project_of, set_limits};
pub(super) use lock::{Locked, lock, next_generation, next_seq};
pub use order::{PlaceName, Reference};
pub use password::reset_password;
pub use power::power;
pub use protect::protect;
pub use read::{Filter, Vps, ever_existed, get, list, list_everywhere, names, on_host, some};
pub use resize::change_plan;
pub use update::{Update, update};
