//! The operators' pages: hosts with load and capacity, one host, all servers.

use std::collections::HashSet;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use berth_proto::{HostFacts, HostMetrics};
use berth_web::{
    Bytes, Cores, EnrolSecret, Field, FleetServerRow, HostForm, HostPage, HostView, HostsLive, HostsPage,
    Lack, Load, Section, Unit, When,
};
use chrono::{DateTime, Utc};

use super::dress::{Failed, Page};
use super::events::{Feed, stream};
use super::fields::Fields;
use super::keys::sentence;
use super::operators::{Asked, host::Forms};
use super::server::capital;
use super::session::{Operator, SignedIn, ThingId};
use super::views::{self, Beside};
use super::{cookies, servers};
use crate::admin::enrolment;
use crate::app::App;
use crate::db::hosts::{self, Host};
use crate::db::locations;
use crate::db::vps::{self, Vps};
use crate::domain::names::Slug;
use crate::domain::placement::sellable_cpu;
use crate::error::{Error, Result};
use crate::ids::HostId;
use crate::wake::Changed;

/// `GET /fleet/hosts`.
pub(super) async fn hosts(
    Operator(who): Operator,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let secret = cookies::secret(&headers).and_then(|text| {
        let (host, command) = text.split_once('\n')?;
        Some(EnrolSecret { host: host.to_owned(), command: command.to_owned() })
    });
    let shown = secret.is_some().then(|| cookies::secret_shown(&app.config, "/fleet/hosts"));
    let told = who.told(&app);
    Ok((shown, told, show(&app, &who, HostForm::default(), secret).await?).into_response())
}

/// `GET /fleet/hosts/events`.
pub(super) async fn events(
    Operator(who): Operator,
    State(app): State<App>,
) -> Result<impl IntoResponse, Failed> {
    let load = {
        let app = app.clone();
        move || {
            let app = app.clone();
            async move { live(&app).await?.parts().map_err(|e| Error::Internal(e.into())) }
        }
    };
    Ok(stream(Feed { app, cookie: who.cookie, topic: Changed::Fleet, load, gone: Vec::new() })?)
}

/// `POST /fleet/hosts`: a one-time token for a new host, or a fresh one for a host that waits for its enrolment.
pub(super) async fn add_host(
    Operator(who): Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let mut form = HostForm {
        name: Field::new(fields.trimmed("name")),
        datacenter: Field::new(fields.get("datacenter")),
    };
    match enrol(&app, &form).await {
        Ok(command) => {
            let text = format!("{}\n{command}", form.name.value);
            Ok((cookies::show_secret(&app.config, "/fleet/hosts", &text), Redirect::to("/fleet/hosts"))
                .into_response())
        }
        Err(e @ (Error::Internal(_) | Error::Unauthorized)) => Err(e.into()),
        Err(e) => {
            let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            form.name.error = Some(match e {
                Error::InvalidInput { message, .. } => sentence(&message),
                other => capital(&other.to_string()),
            });
            Ok((status, show(&app, &who, form, None).await?).into_response())
        }
    }
}

async fn enrol(app: &App, form: &HostForm) -> Result<String> {
    let name = Slug::parse("name", &form.name.value)?;
    let host = match hosts::find(&app.db, name.as_str()).await? {
        Some(host) if host.state == "new" => host,
        Some(_) => return Err(Error::Uniqueness("a host with this name is enrolled already".into())),
        None => {
            let all = locations::datacenters(&app.db).await?;
            let wanted = all.iter().find(|d| d.name == form.datacenter.value).or(all.first());
            hosts::create(app, &name, wanted.ok_or(Error::NotFound("datacenter"))?.id.0).await?
        }
    };
    Ok(format!("berth-agent enrol {}", enrolment(app, HostId(host.id)).await?.token))
}

/// `GET /fleet/hosts/{id}?page=…`.
pub(super) async fn host(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failed> {
    let found = hosts::get(&app.db, HostId(id)).await?;
    let forms = Forms::of(&app, &found).await?;
    Ok((who.told(&app), host_page(&app, &who, &found, forms, &asked).await?).into_response())
}

/// The page of a host, with its forms as they are or as they were typed.
pub(super) async fn host_page(
    app: &App,
    who: &SignedIn,
    host: &Host,
    forms: Forms,
    asked: &Asked,
) -> Result<Page<HostPage>> {
    let found = vps::on_host(&app.db, HostId(host.id), asked.part()).await?;
    let rows = rows(app, who, &found.items).await?;
    let pager = asked.pager(&format!("/fleet/hosts/{}", host.id), found.total);
    let Forms { cordon, overcommit, bgp } = forms;
    let shell = who.shell(Section::Hosts, None);
    Ok(Page(HostPage { shell, host: view(host, Utc::now()), rows, pager, cordon, overcommit, bgp }))
}

/// VPSes of any project as tables of the fleet show them, in this order.
pub(super) async fn rows(app: &App, who: &SignedIn, vpses: &[Vps]) -> Result<Vec<FleetServerRow>> {
    let beside = servers::beside(app, vpses).await?;
    let mine: HashSet<i64> = who.projects.iter().filter(|p| !p.guest).map(|p| p.id).collect();
    Ok(vpses.iter().map(|vps| row(vps, &beside, &mine)).collect())
}

fn row(vps: &Vps, beside: &Beside, mine: &HashSet<i64>) -> FleetServerRow {
    let (cpu, memory) = views::loads(vps, beside);
    FleetServerRow {
        id: vps.id.0,
        name: vps.name.clone(),
        project_id: vps.project_id.0,
        linked: mine.contains(&vps.project_id.0),
        project: vps.project_name.clone(),
        status: views::status(vps),
        fault: views::fault(vps),
        host: vps.host_name.clone(),
        plan: vps.plan_name.clone(),
        ipv4: vps.ipv4().map(|ip| ip.to_string()),
        cpu,
        memory,
        disk: None,
        network: None,
        hits: 0,
        created: When::new(vps.created_at, beside.now),
    }
}

async fn live(app: &App) -> Result<HostsLive> {
    let now = Utc::now();
    Ok(HostsLive { hosts: hosts::list(&app.db).await?.iter().map(|host| view(host, now)).collect() })
}

async fn show(
    app: &App,
    who: &SignedIn,
    form: HostForm,
    secret: Option<EnrolSecret>,
) -> Result<Page<HostsPage>> {
    Ok(Page(HostsPage {
        shell: who.shell(Section::Hosts, None),
        live: live(app).await?,
        form,
        datacenters: locations::datacenters(&app.db).await?.into_iter().map(|d| d.name).collect(),
        secret,
    }))
}

fn view(host: &Host, now: DateTime<Utc>) -> HostView {
    let facts = serde_json::from_value::<HostFacts>(host.facts.clone()).unwrap_or_default();
    let metrics = serde_json::from_value::<HostMetrics>(host.metrics.clone()).ok();
    let date = |at: Option<DateTime<Utc>>| at.map(|at| When::new(at, now).utc()).unwrap_or_default();
    let told = [
        ("Kernel", facts.kernel),
        ("System", facts.os),
        ("Processor", facts.arch),
        ("Cgroups", facts.cgroup_mode),
        ("Agent", host.agent_version.clone()),
        ("Outside", facts.address.map(|ip| ip.to_string()).unwrap_or_default()),
        ("Inside", facts.underlay.map(|ip| ip.to_string()).unwrap_or_default()),
        ("Datacenter", host.datacenter.clone()),
        ("Enrolled", date(host.enrolled_at)),
        ("Certificate", host.cert_until.map(|at| format!("until {}", date(Some(at)))).unwrap_or_default()),
        ("Images", host.images.as_array().map_or(0, Vec::len).to_string()),
        ("Orphans", orphans(host)),
    ];
    HostView {
        id: host.id,
        name: host.name.clone(),
        location: host.location.clone(),
        online: host.state == "online",
        enrolled: matches!(host.state.as_str(), "online" | "offline"),
        cordoned: host.cordoned,
        cordon_reason: host.cordon_reason.clone(),
        seen: host.last_report_at.map(|at| When::new(at, now)),
        servers: host.vps_count,
        load: metrics.map(|m| load(&m)).unwrap_or_default(),
        sold: sold(host),
        facts: told.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        lacks: facts
            .missing
            .into_iter()
            .map(|m| Lack { feature: m.feature, consequence: m.consequence, fatal: m.fatal })
            .chain(host.lacks.iter().any(|lack| lack == "routers").then(no_routers))
            .collect(),
    }
}

/// VPSes that it has and that are not ours to run there.
fn orphans(host: &Host) -> String {
    let ids = host.orphans.as_array().map(Vec::as_slice).unwrap_or_default();
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn no_routers() -> Lack {
    Lack {
        feature: "routers".to_owned(),
        consequence:
            "no server with an address of a pool that is announced by BGP is placed here; name them with \
                      `berth-server admin hosts set-bgp`"
                .to_owned(),
        fatal: false,
    }
}

fn load(metrics: &HostMetrics) -> Vec<Load> {
    let bytes = |label, used: i64, all: i64| {
        Load::of(label, used as f64, all as f64, format!("{} of {}", Bytes(used), Bytes(all)))
    };
    vec![
        Load::of("CPU", metrics.cpu_busy, 1.0, Unit::Percent.tell(metrics.cpu_busy * 100.0)),
        bytes("Memory", metrics.memory_used_bytes, metrics.memory_total_bytes),
        bytes("Disk", metrics.disk_used_bytes, metrics.disk_total_bytes),
    ]
}

fn sold(host: &Host) -> Vec<Load> {
    if host.capacity_cpu_milli == 0 && host.capacity_memory == 0 {
        return Vec::new();
    }
    let cpu = sellable_cpu(host.capacity_cpu_milli, host.cpu_overcommit);
    let of = |label, used: i64, all: i64, text: String| Load::of(label, used as f64, all as f64, text);
    let bytes = |label, used, all| of(label, used, all, format!("{} of {}", Bytes(used), Bytes(all)));
    let cores = format!("{} of {}", host.allocated_cpu_milli as f64 / 1000.0, Cores(cpu));
    vec![
        of("CPU", host.allocated_cpu_milli, cpu, cores),
        bytes("Memory", host.allocated_memory, host.capacity_memory),
        bytes("Disk", host.allocated_disk, host.capacity_disk),
    ]
}
