//! Changed limits for a VPS that is there.
//!
//! Whatever the kernel can change under a running guest is changed at once. A disk that cannot grow while it is mounted
//! grows at the next start, and the fault says so.

use berth_proto::{VpsFault, VpsSpec};

use super::cgroup::Tree;
use super::disk::grow::mounted_is_allowed;
use super::fault::internal;
use super::{LinuxHost, asked, open_files};
use crate::host::Fault;
use crate::monitor::open_files as allowed_files;
use crate::monitor::wire::{Answer, Request};

impl LinuxHost {
    /// Puts the limits of a spec in force under a running guest.
    pub(super) async fn resize(&self, spec: &VpsSpec) -> Result<(), Fault> {
        let noted = asked::save(&self.monitors.dir(spec.id), &spec.limits);
        noted.map_err(|e| internal("noting the limits", &e))?;
        let (tree, id, limits) = (self.tree.clone(), spec.id, spec.limits);
        let applied = tokio::task::spawn_blocking(move || tree.apply(id, &limits)).await;
        applied.map_err(|e| VpsFault::passing("internal", e.to_string()))??;
        self.limit_files(spec).await?;
        self.limit_bandwidth(spec).await;
        self.limit_disk_rates(spec).await?;
        self.grow_running(spec).await
    }

    /// Puts the limits of a disk in force that has just been attached, before the guest has done much with it.
    pub(super) async fn limit_disk(&self, spec: &VpsSpec) -> Result<(), Fault> {
        if Tree::limits_disk(&spec.limits) { self.limit_disk_rates(spec).await } else { Ok(()) }
    }

    /// A host that cannot do it says so with every report.
    pub(super) async fn limit_bandwidth(&self, spec: &VpsSpec) {
        if let Err(error) = self.net.shape(spec.id, spec.limits.bandwidth_mbit).await {
            tracing::warn!(vps = %spec.id, %error, "the bandwidth is not limited");
        }
    }

    async fn limit_disk_rates(&self, spec: &VpsSpec) -> Result<(), Fault> {
        let failed = |e| VpsFault::passing("internal", format!("the disk is not limited: {e}"));
        let answer = self.monitors.ask(spec.id, &Request::Disk).await.map_err(failed)?;
        let Answer::Disk { loop_device, .. } = answer else {
            return Err(VpsFault::passing("internal", "the monitor gave another answer"));
        };
        Ok(self.tree.apply_disk(spec.id, &spec.limits, loop_device)?)
    }

    /// Where a limit may not be raised, the report says that it holds from the next start.
    async fn limit_files(&self, spec: &VpsSpec) -> Result<(), Fault> {
        let most = allowed_files(u64::try_from(spec.limits.open_files).unwrap_or(0));
        let (tree, id, owner) = (self.tree.clone(), spec.id, self.ids.range(spec.id)?.first);
        let set = tokio::task::spawn_blocking(move || open_files::set(&tree, id, owner, most)).await;
        let set = set.map_err(|e| VpsFault::passing("internal", e.to_string()))?;
        set.map(|_| ()).map_err(|e| internal("limiting open files", &e))
    }

    async fn grow_running(&self, spec: &VpsSpec) -> Result<(), Fault> {
        let failed = |e| VpsFault::passing("internal", format!("the disk did not grow: {e}"));
        let now = match self.monitors.ask(spec.id, &Request::Disk).await.map_err(failed)? {
            Answer::Disk { total, .. } => i64::try_from(total).unwrap_or(i64::MAX),
            _ => return Err(VpsFault::passing("internal", "the monitor gave another answer")),
        };
        if now >= spec.limits.disk_bytes {
            return Ok(());
        }
        self.disks.lengthen(spec.id, spec.limits.disk_bytes).await?;
        if !mounted_is_allowed() {
            let message = "CPU and memory are changed, but this host's agent may not grow a disk that is in use (it \
                           lacks CAP_SYS_RESOURCE). The disk grows at the next start: reboot the server.";
            return Err(VpsFault::terminal("kernel_feature_missing", message));
        }
        self.monitors.ask_patiently(spec.id, &Request::GrowDisk, super::CHANGE).await.map_err(failed)?;
        Ok(())
    }

    /// Lets a disk that is not in use have the size of its plan. One that cannot grow now is as good as before, so the
    /// guest starts all the same.
    pub(super) async fn fit_disk(&self, spec: &VpsSpec) {
        let grown = async {
            self.disks.lengthen(spec.id, spec.limits.disk_bytes).await?;
            if !mounted_is_allowed() {
                self.disks.grow_unmounted(spec.id).await?;
            }
            Ok::<_, Fault>(())
        };
        if let Err(fault) = grown.await {
            tracing::warn!(vps = %spec.id, error = fault.message, "the disk keeps its size");
        }
    }
}
