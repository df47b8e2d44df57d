//! What operators set of a host: whether it takes new servers and why not, how often its CPU is sold, whom it announces
//! addresses to.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use berth_proto::{Bgp, BgpNeighbour};
use berth_web::{Form, Input, Notice};

use super::{Asked, blame, done, fill};
use crate::app::App;
use crate::db::gateways;
use crate::db::hosts::{self, Host, Update};
use crate::domain::bgp;
use crate::error::{Error, Result};
use crate::ids::HostId;
use crate::pages::dress::Failed;
use crate::pages::fields::Fields;
use crate::pages::fleet;
use crate::pages::session::{Operator, SignedIn, ThingId};

fn path(id: i64) -> String {
    format!("/fleet/hosts/{id}")
}

/// The forms of a host's page; one of them may be as it was typed.
pub(in crate::pages) struct Forms {
    pub(in crate::pages) cordon: Form,
    pub(in crate::pages) overcommit: Form,
    pub(in crate::pages) bgp: Form,
}

impl Forms {
    pub(in crate::pages) async fn of(app: &App, host: &Host) -> Result<Self> {
        let path = path(host.id);
        let cordon = if host.cordoned {
            Form::new("cordon", format!("{path}/uncordon"), "Take new servers again", vec![])
        } else {
            let reason =
                Input::line("cordon_reason", "Reason").hint("For other operators; may be empty.").optional();
            Form::new("cordon", format!("{path}/cordon"), "Cordon", vec![reason])
        };
        let times = Input::line("cpu_overcommit", "Times").with(host.cpu_overcommit.to_string());
        Ok(Self {
            cordon,
            overcommit: Form::new("overcommit", format!("{path}/overcommit"), "Save", vec![times]),
            bgp: bgp_form(app, host.id).await?,
        })
    }
}

async fn bgp_form(app: &App, id: i64) -> Result<Form> {
    let now = gateways::bgp(&app.db, HostId(id)).await?;
    let is = |of: fn(&Bgp) -> String| now.as_ref().map(of).unwrap_or_default();
    let neighbours = |bgp: &Bgp| {
        let all = bgp.neighbours.iter().map(|n| format!("{}={}", n.address, n.asn));
        all.collect::<Vec<_>>().join("\n")
    };
    let inputs = vec![
        Input::line("asn", "Its own AS number").optional().with(is(|bgp| bgp.asn.to_string())),
        Input::line("router_id", "Router id")
            .hint("An IPv4 address; empty: its address among hosts.")
            .optional()
            .with(is(|bgp| bgp.router_id.map(|id| id.to_string()).unwrap_or_default())),
        Input::area("neighbours", "Routers")
            .hint("As 192.0.2.1=64500, one a line. None: it announces nothing.")
            .with(is(neighbours)),
    ];
    Ok(Form::new("bgp", format!("{}/bgp", path(id)), "Save", inputs))
}

/// Shows the page again, with a form as it was typed and what is wrong with it.
async fn again(
    app: &App,
    who: &SignedIn,
    id: i64,
    fields: &Fields,
    e: Error,
    which: fn(&mut Forms) -> &mut Form,
) -> Result<Response, Failed> {
    let host = hosts::get(&app.db, HostId(id)).await?;
    let mut forms = Forms::of(app, &host).await?;
    let form = which(&mut forms);
    fill(form, fields);
    let status = blame(form, e)?;
    Ok((status, fleet::host_page(app, who, &host, forms, &Asked::default()).await?).into_response())
}

/// `POST /fleet/hosts/{id}/cordon`.
pub(in crate::pages) async fn cordon(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let reason = Some(fields.trimmed("cordon_reason").to_owned()).filter(|reason| !reason.is_empty());
    let change = Update { cordoned: Some(true), cordon_reason: reason, ..Update::default() };
    match hosts::update(&app, HostId(id), change).await {
        Ok(_) => Ok(done(&app, &path(id), Notice::HostCordoned)),
        Err(e) => again(&app, &who, id, &fields, e, |forms| &mut forms.cordon).await,
    }
}

/// `POST /fleet/hosts/{id}/uncordon`.
pub(in crate::pages) async fn uncordon(
    Operator(_): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    hosts::update(&app, HostId(id), Update { cordoned: Some(false), ..Update::default() }).await?;
    Ok(done(&app, &path(id), Notice::HostUncordoned))
}

/// `POST /fleet/hosts/{id}/overcommit`.
pub(in crate::pages) async fn overcommit(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let times = fields.trimmed("cpu_overcommit").parse::<f64>().ok().filter(|times| times.is_finite());
    let changed = match times {
        Some(times) => {
            hosts::update(&app, HostId(id), Update { cpu_overcommit: Some(times), ..Update::default() }).await
        }
        None => Err(Error::invalid("cpu_overcommit", "must be a number such as 4 or 1.5")),
    };
    match changed {
        Ok(_) => Ok(done(&app, &path(id), Notice::Saved)),
        Err(e) => again(&app, &who, id, &fields, e, |forms| &mut forms.overcommit).await,
    }
}

/// `POST /fleet/hosts/{id}/bgp`.
pub(in crate::pages) async fn set_bgp(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let set = match speaker(&fields) {
        Ok(speaker) => gateways::set_bgp(&app, HostId(id), speaker.as_ref()).await,
        Err(e) => Err(e),
    };
    match set {
        Ok(()) => Ok(done(&app, &path(id), Notice::Saved)),
        Err(e) => again(&app, &who, id, &fields, e, |forms| &mut forms.bgp).await,
    }
}

/// None where there are no routers.
fn speaker(fields: &Fields) -> Result<Option<Bgp>> {
    let wrong = |text: &str| {
        let shown: String = text.chars().take(60).collect();
        Error::invalid("neighbours", format!("'{shown}' is not of the form 192.0.2.1=64500"))
    };
    let neighbour = |text: &str| {
        let (address, asn) = text.split_once('=')?;
        Some(BgpNeighbour { address: address.trim().parse().ok()?, asn: asn.trim().parse().ok()? })
    };
    let lines = fields.get("neighbours").split([' ', ',', '\n']).filter(|text| !text.is_empty());
    let neighbours: Vec<BgpNeighbour> =
        lines.map(|text| neighbour(text).ok_or_else(|| wrong(text))).collect::<Result<_>>()?;
    if neighbours.is_empty() {
        return Ok(None);
    }
    let asn =
        fields.trimmed("asn").parse().map_err(|_| Error::invalid("asn", "must be a number such as 64512"))?;
    let router_id = Some(fields.trimmed("router_id")).filter(|text| !text.is_empty());
    let router_id = router_id
        .map(|text| text.parse().map_err(|_| Error::invalid("router_id", "must be an IPv4 address")))
        .transpose()?;
    let wanted = Bgp { asn, router_id, neighbours };
    bgp::check(&wanted).map_err(|(field, why)| Error::invalid(field, why))?;
    Ok(Some(wanted))
}
