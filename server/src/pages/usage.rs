//! What a project may have, and what it has.

use axum::extract::State;
use axum::response::IntoResponse;
use berth_web::{Bytes, Cores, Load, Section, UsagePage, UsageRow};

use super::dress::{Failed, Page};
use super::session::Member;
use crate::app::App;
use crate::db::quotas;
use crate::domain::quota::Counted;

/// `GET /projects/{project}/usage`.
pub(super) async fn page(member: Member, State(app): State<App>) -> Result<impl IntoResponse, Failed> {
    let (quota, used) = quotas::get(&app.db, member.id()).await?;
    let rows = Counted::ALL.map(|what| {
        let (most, used) = (quota.of(what), used.of(what));
        UsageRow {
            name: name(what),
            used: figure(what, used),
            most: most.map(|most| figure(what, most)),
            load: most.map(|most| load(what, used, most)),
            full: most.is_some_and(|most| used >= most),
        }
    });
    let page = UsagePage { shell: member.shell(Section::Usage), rows: rows.to_vec() };
    Ok((member.who.told(&app), Page(page)))
}

fn load(what: Counted, used: i64, most: i64) -> Load {
    let text = format!("{} of {}", figure(what, used), figure(what, most));
    // Of nothing, nothing is left.
    if most == 0 {
        Load::of(name(what), 1.0, 1.0, text)
    } else {
        Load::of(name(what), used as f64, most as f64, text)
    }
}

fn name(what: Counted) -> &'static str {
    match what {
        Counted::Servers => "Servers",
        Counted::Cpu => "CPU",
        Counted::Memory => "Memory",
        Counted::Disk => "Disk",
        Counted::Addresses => "IPv4 addresses",
        Counted::Prefixes => "IPv6 prefixes",
    }
}

fn figure(what: Counted, figure: i64) -> String {
    match what {
        Counted::Cpu => Cores(figure).to_string(),
        Counted::Memory | Counted::Disk => Bytes(figure).to_string(),
        Counted::Servers | Counted::Addresses | Counted::Prefixes => figure.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_plans() {
        assert_eq!(load(Counted::Cpu, 1500, 4000).text, "1.5 cores of 4 cores");
        assert_eq!(load(Counted::Memory, 1 << 30, 4 << 30).text, "1 GB of 4 GB");
        assert_eq!(load(Counted::Servers, 1, 4).width(), "25.0");
        assert_eq!(load(Counted::Servers, 0, 0).width(), "100.0", "none may be had");
    }
}
