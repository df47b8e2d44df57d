//! `berth-server admin …`: the operators' API as commands, directly on the database.
//!
//! Works with the server running (it is woken when the command is done) or stopped (the embedded Postgres is started
//! for the command). What a script wants to catch is alone on stdout: a token, a password. `--json` prints what the API
//! would answer.

use serde::Serialize;
use serde_json::Value;

use super::reference::Reference;
use super::{
    addresses, announcements, audit, closing, encryption, gateways, hosts, images, members, name_servers,
    places, plans, policies, pools, ports, projects, quotas, server_limits, servers, streams, tokens, users,
};
use crate::app::App;
use crate::audit::{Asked, scope};
use crate::config::Config;
use crate::db::hosts::Update;
use crate::domain::limits::Change;
use crate::domain::roles::Role;
use crate::ids::{HostId, TokenId, VpsId};
use crate::{db, serve};

/// The operators' commands.
#[derive(clap::Args)]
pub struct Admin {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Machines that run VPSes.
    #[command(subcommand)]
    Hosts(Hosts),
    /// What can be rented.
    #[command(subcommand)]
    Plans(Plans),
    /// Root file systems that VPSes start from.
    #[command(subcommand)]
    Images(Images),
    /// Addresses.
    #[command(subcommand)]
    Pools(Pools),
    /// Whose VPSes are whose.
    #[command(subcommand)]
    Projects(Projects),
    /// Tenants' servers.
    #[command(subcommand)]
    Servers(Servers),
    /// API tokens.
    #[command(subcommand)]
    Tokens(Tokens),
    /// People who sign in.
    #[command(subcommand)]
    Users(Users),
    /// Where hosts stand.
    #[command(subcommand)]
    Locations(Locations),
    /// Data centres of locations.
    #[command(subcommand)]
    Datacenters(Datacenters),
    /// Traffic of all VPSes.
    #[command(subcommand)]
    Traffic(Traffic),
    /// Who changed what.
    #[command(subcommand)]
    Audit(Audit),
    /// What holds for the whole installation.
    #[command(subcommand)]
    Settings(Settings),
    /// What tenants are told on their pages.
    #[command(subcommand)]
    Announcements(Announcements),
}

#[derive(clap::Subcommand)]
enum Announcements {
    /// The newest, those that are over included.
    List,
    /// Tell something.
    Create(announcements::NewAnnouncement),
    /// Take something back.
    Delete { id: i64 },
}

#[derive(clap::Subcommand)]
enum Hosts {
    /// All hosts.
    List,
    /// A host and its VPSes.
    Show { host: Reference },
    /// Print a token that enrols a host, once, within a day. Makes the host if there is none of this name.
    Token(hosts::NewHost),
    /// Keep new VPSes away from a host.
    Cordon {
        host: Reference,
        /// Why: a line for other operators.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let new VPSes come again.
    Uncordon { host: Reference },
    /// Change how many times each core of a host is sold.
    Overcommit { host: Reference, times: f64 },
    /// Whom a host announces addresses of pools of the kind bgp to.
    Bgp { host: Reference },
    /// Set that, by BGP, for addresses that are in use already too.
    SetBgp {
        host: Reference,
        #[command(flatten)]
        wanted: gateways::Speaker,
    },
    /// Let a host announce nothing.
    UnsetBgp { host: Reference },
    /// By which address a host is reached from outside, at ports that lead to its VPSes.
    Address { host: Reference },
    /// Set that, where it is not the address of the host's uplink.
    SetAddress {
        host: Reference,
        #[command(flatten)]
        wanted: ports::NewHostAddress,
    },
    /// Let the host say itself by which address it is reached.
    UnsetAddress { host: Reference },
    /// End the validity of a host's certificate at once; its VPSes run on, unseen.
    Revoke { host: Reference },
    /// Remove a host that has no VPSes.
    Remove { host: Reference },
}

#[derive(clap::Subcommand)]
enum Plans {
    /// All plans, also retired ones.
    List,
    /// Offer a plan.
    Create(Box<plans::NewPlan>),
    /// Stop offering a plan; VPSes that have it keep it.
    Retire { plan: Reference },
    /// What follows on traffic for VPSes of a plan, and which ports they reach nobody at.
    Policy { plan: Reference },
    /// Change that, also for VPSes that run.
    SetPolicy {
        plan: Reference,
        #[command(flatten)]
        wanted: policies::ChangePolicy,
    },
}

#[derive(clap::Subcommand)]
enum Images {
    /// All images, also retired ones.
    List,
    /// Import an archive from a file or a URL.
    Import(images::Import),
    /// Import an image from an LXC image server, by URL or directory.
    FromServer(streams::FromServer),
    /// Build a Debian and import it.
    BuildDebian(images::Build),
    /// Stop offering an image; VPSes that have it keep it.
    Retire { image: Reference },
}

#[derive(clap::Subcommand)]
enum Pools {
    /// All pools.
    List,
    /// Make a pool.
    Create(pools::NewPool),
    /// Change how long addresses of a pool rest after they were given back.
    Quarantine {
        pool: Reference,
        #[command(flatten)]
        wanted: pools::ChangePool,
    },
    /// Set by which ports of their hosts VPSes with addresses of a pool are reached, also for those that are there.
    SetPorts {
        pool: Reference,
        #[command(flatten)]
        wanted: ports::PoolPorts,
    },
    /// Take the ports of a pool away from all VPSes.
    UnsetPorts { pool: Reference },
    /// Who had an address, now, ever, or at a time.
    Who(addresses::Question),
    /// The name server that has the reverse names of a pool, and how it does.
    NameServer { pool: Reference },
    /// Set the name server of a pool, and tell it all names anew. The key's secret may stand in BERTH_TSIG_SECRET.
    SetNameServer {
        pool: Reference,
        #[command(flatten)]
        wanted: Box<name_servers::NameServerSettings>,
    },
    /// Forget the name server of a pool. It keeps the names that it has.
    ForgetNameServer { pool: Reference },
    /// Delete a pool that no project has an address of.
    Delete { pool: Reference },
}

#[derive(clap::Subcommand)]
enum Servers {
    /// Change a server of any project.
    Set {
        id: i64,
        #[command(flatten)]
        change: servers::Change,
    },
    /// Let nothing pass to and from a VPS (by id); it runs on, and its console works.
    Isolate {
        id: i64,
        #[command(flatten)]
        wanted: policies::Isolating,
    },
    /// Let an isolated VPS be reached again.
    Release { id: i64 },
    /// What a VPS (by id) may use, what became of that, and how often each limit was hit.
    Limits { id: i64 },
    /// Change single limits of a VPS (by id), running or not, also beyond its plan.
    SetLimits {
        id: i64,
        #[command(flatten)]
        wanted: Box<Change>,
    },
}

#[derive(clap::Subcommand)]
enum Projects {
    /// All projects.
    List,
    /// Make a project.
    Create(projects::NewProject),
    /// Stop a project's servers and let its people only look; nothing is deleted.
    Suspend {
        project: Reference,
        #[command(flatten)]
        why: projects::Suspending,
    },
    /// Undo that: servers that ran start again.
    Resume { project: Reference },
    /// What a project may have at most, and what it has.
    Quota { project: Reference },
    /// Change what a project may have at most; what is not named stays.
    SetQuota {
        project: Reference,
        #[command(flatten)]
        wanted: quotas::ChangeQuotas,
    },
    /// What projects may have at most that people make themselves.
    DefaultQuota,
    /// Change that, for projects that are made from now on.
    SetDefaultQuota(quotas::ChangeQuotas),
    /// Who works in a project.
    Members { project: Reference },
    /// Let a user (id or e-mail address) work in a project, or make them something else there.
    SetMember {
        project: Reference,
        user: Reference,
        /// owner, admin, member or read_only.
        #[arg(long)]
        role: Role,
    },
    /// Take a user out of a project.
    RemoveMember { project: Reference, user: Reference },
    /// Set whether the traffic that plans include is one sum for all VPSes of a project.
    SetTraffic {
        project: Reference,
        #[command(flatten)]
        wanted: policies::ProjectTraffic,
    },
}

#[derive(clap::Subcommand)]
enum Tokens {
    /// The tokens of a project or of the operators' API.
    List(tokens::Of),
    /// Make a token and print it.
    Create(tokens::NewToken),
    /// Make a token stop working.
    Delete {
        id: i64,
        #[command(flatten)]
        of: tokens::Of,
    },
}

#[derive(clap::Subcommand)]
enum Users {
    /// All users.
    List,
    /// Make a user and print the password.
    Create(users::NewUser),
    /// Give a user (id or e-mail address) another password and print it; all their sessions end.
    ResetPassword { user: Reference },
    /// Turn off the second factor of a user who lost it; all their sessions end.
    ResetSecondFactor { user: Reference },
    /// Print everything that is kept about a user (id or e-mail address), secrets left out.
    Export { user: Reference },
    /// Close the account of a user, and projects that nobody else is in and that have no servers and no addresses.
    Close { user: Reference },
}

#[derive(clap::Subcommand)]
enum Locations {
    /// All locations.
    List,
    /// Make a location.
    Create(places::NewLocation),
    /// Set whom guests of a location ask for names, at most three; nobody: whom their hosts ask.
    SetResolvers {
        location: Reference,
        #[command(flatten)]
        wanted: policies::Resolvers,
    },
    /// Set (true or false) whether private networks are encrypted between hosts of a location, by WireGuard.
    SetEncryption {
        location: Reference,
        #[command(flatten)]
        wanted: encryption::Encryption,
    },
}

#[derive(clap::Subcommand)]
enum Traffic {
    /// The day on which months of traffic begin.
    Show,
    /// Set the day on which months of traffic begin, 1 to 28.
    Set(policies::Traffic),
}

#[derive(clap::Subcommand)]
enum Settings {
    /// All of them.
    Show,
    /// Change some.
    Set(members::ChangeSettings),
}

#[derive(clap::Subcommand)]
enum Audit {
    /// The newest entries.
    List {
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Look whether the trail is whole, and print its head: the newest seal, to be kept elsewhere.
    Verify,
}

#[derive(clap::Subcommand)]
enum Datacenters {
    /// All data centres.
    List,
    /// Make a data centre.
    Create(places::NewDatacenter),
}

/// What a command has to show.
enum Shown {
    /// Rows, and the columns for people.
    List(Value, &'static [&'static str]),
    /// One thing.
    One(Value),
    /// A secret, alone on its line, and the rest of the answer.
    Secret(String, Value),
    /// Nothing but that it was done.
    Done,
}

/// Runs a command.
///
/// # Errors
/// What the API would answer, or what keeps the database from being opened.
pub async fn run(config: &Config, admin: Admin) -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default(); // installed before: the same one
    let (app, postgres) = serve::open(config, true).await?;
    let outbox = app.wake.outbox();
    let asked = Asked::command(&words(std::env::args()));
    let shown = scope(asked, Box::pin(execute(&app, admin.command))).await;
    crate::tasks::tell_once(&app, outbox).await;
    serve::close(Some(&app), postgres).await;
    print(shown.map_err(flatten)?, admin.json)
}

/// What was typed, without what may be secret: the command's own words.
fn words(args: impl Iterator<Item = String>) -> String {
    let words = args.skip_while(|arg| arg != "admin").filter(|arg| !arg.starts_with('-'));
    words.take(3).collect::<Vec<_>>().join(" ")
}

/// Faults of ours carry their text inside, which is only for the log elsewhere; here the log's reader is in front of us.
fn flatten(e: crate::error::Error) -> anyhow::Error {
    match e {
        crate::error::Error::Internal(e) => e,
        other => other.into(),
    }
}

fn list(rows: impl Serialize, columns: &'static [&'static str]) -> crate::error::Result<Shown> {
    Ok(Shown::List(value(rows)?, columns))
}

fn one(thing: impl Serialize) -> crate::error::Result<Shown> {
    Ok(Shown::One(value(thing)?))
}

fn value(thing: impl Serialize) -> crate::error::Result<Value> {
    Ok(serde_json::to_value(thing).map_err(anyhow::Error::from)?)
}

async fn execute(app: &App, command: Command) -> crate::error::Result<Shown> {
    match command {
        Command::Hosts(command) => host(app, command).await,
        Command::Plans(Plans::List) => list(
            plans::list(app).await?,
            &["id", "name", "cpu_milli", "memory_bytes", "disk_bytes", "price_monthly", "retired_at"],
        ),
        Command::Plans(Plans::Create(new)) => one(plans::create(app, *new).await?),
        Command::Plans(Plans::Retire { plan }) => plans::retire(app, &plan).await.map(|()| Shown::Done),
        Command::Images(Images::List) => {
            list(images::list(app).await?, &["id", "name", "size_bytes", "format", "sha256", "retired_at"])
        }
        Command::Images(Images::Import(new)) => one(images::import(app, new).await?),
        Command::Images(Images::FromServer(wanted)) => one(streams::import(app, wanted).await?),
        Command::Images(Images::BuildDebian(build)) => one(images::build(app, build).await?),
        Command::Images(Images::Retire { image }) => images::retire(app, &image).await.map(|()| Shown::Done),
        Command::Pools(Pools::List) => list(
            pools::list(app).await?,
            &[
                "id",
                "name",
                "location",
                "cidr",
                "kind",
                "used",
                "resting",
                "addresses",
                "ports",
                "ports_per_vps",
            ],
        ),
        Command::Pools(Pools::Create(new)) => one(pools::create(app, new).await?),
        Command::Pools(Pools::Quarantine { pool, wanted }) => {
            one(pools::set_quarantine(app, &pool, wanted).await?)
        }
        Command::Pools(Pools::SetPorts { pool, wanted }) => {
            one(ports::set_by_name(app, &pool, &wanted).await?)
        }
        Command::Pools(Pools::UnsetPorts { pool }) => one(ports::unset_by_name(app, &pool).await?),
        Command::Pools(Pools::Who(question)) => list(
            addresses::holders(app, &question).await?,
            &["ip", "project", "primary_ip_id", "floating_ip_id", "vps_id", "vps", "from_at", "until_at"],
        ),
        Command::Pools(Pools::NameServer { pool }) => one(name_servers::show(app, &pool).await?),
        Command::Pools(Pools::SetNameServer { pool, wanted }) => {
            one(name_servers::set_by_name(app, &pool, &wanted).await?)
        }
        Command::Pools(Pools::ForgetNameServer { pool }) => {
            name_servers::forget_by_name(app, &pool).await.map(|()| Shown::Done)
        }
        Command::Pools(Pools::Delete { pool }) => pools::delete(app, &pool).await.map(|()| Shown::Done),
        Command::Servers(Servers::Limits { id }) => one(server_limits::limits(app, VpsId(id)).await?),
        Command::Servers(Servers::SetLimits { id, wanted }) => {
            one(server_limits::set_limits(app, VpsId(id), &wanted).await?)
        }
        Command::Plans(Plans::Policy { plan }) => {
            one(policies::policy(app, policies::find_plan(app, &plan).await?).await?)
        }
        Command::Plans(Plans::SetPolicy { plan, wanted }) => {
            one(policies::change_policy(app, policies::find_plan(app, &plan).await?, wanted).await?)
        }
        Command::Servers(Servers::Isolate { id, wanted }) => {
            one(policies::isolate(app, VpsId(id), &wanted).await?)
        }
        Command::Servers(Servers::Release { id }) => one(policies::release(app, VpsId(id)).await?),
        Command::Traffic(Traffic::Show) => one(policies::traffic(app).await?),
        Command::Traffic(Traffic::Set(wanted)) => one(policies::set_traffic(app, wanted).await?),
        Command::Projects(Projects::SetTraffic { project, wanted }) => {
            one(policies::set_project_by_name(app, &project, wanted).await?)
        }
        Command::Locations(Locations::SetResolvers { location, wanted }) => {
            one(policies::set_resolvers_by_name(app, &location, &wanted).await?)
        }
        Command::Projects(Projects::Suspend { project, why }) => {
            let project = projects::find(app, &project).await?.id;
            projects::suspend(app, project, &why).await.map(|()| Shown::Done)
        }
        Command::Projects(Projects::Resume { project }) => {
            let project = projects::find(app, &project).await?.id;
            projects::resume(app, project).await.map(|()| Shown::Done)
        }
        Command::Projects(Projects::Quota { project }) => {
            one(quotas::get(app, projects::find(app, &project).await?.id).await?)
        }
        Command::Projects(Projects::SetQuota { project, wanted }) => {
            one(quotas::change(app, projects::find(app, &project).await?.id, wanted).await?)
        }
        Command::Projects(Projects::DefaultQuota) => one(quotas::defaults(app).await?),
        Command::Projects(Projects::SetDefaultQuota(wanted)) => {
            one(quotas::change_defaults(app, wanted).await?)
        }
        Command::Projects(Projects::Members { project }) => {
            let project = projects::find(app, &project).await?.id;
            list(members::list(app, project).await?, &["user", "email", "name", "role", "since"])
        }
        Command::Projects(Projects::SetMember { project, user, role }) => {
            let (project, user) =
                (projects::find(app, &project).await?.id, users::find(app, &user).await?.id);
            members::put(app, project, user, role).await.map(|()| Shown::Done)
        }
        Command::Projects(Projects::RemoveMember { project, user }) => {
            let (project, user) =
                (projects::find(app, &project).await?.id, users::find(app, &user).await?.id);
            members::remove(app, project, user).await.map(|()| Shown::Done)
        }
        Command::Users(Users::ResetSecondFactor { user }) => {
            members::lose_factor(app, users::find(app, &user).await?.id).await.map(|()| Shown::Done)
        }
        Command::Users(Users::Export { user }) => {
            one(closing::document(app, users::find(app, &user).await?.id).await?)
        }
        Command::Users(Users::Close { user }) => {
            one(closing::close(app, users::find(app, &user).await?.id).await?)
        }
        Command::Settings(Settings::Show) => one(members::settings(app).await?),
        Command::Settings(Settings::Set(change)) => one(members::change_settings(app, change).await?),
        Command::Locations(Locations::SetEncryption { location, wanted }) => {
            one(encryption::set_by_name(app, &location, wanted).await?)
        }
        Command::Projects(Projects::List) => list(projects::list(app).await?, &["id", "name", "created_at"]),
        Command::Projects(Projects::Create(new)) => one(projects::create(app, new).await?),
        Command::Servers(Servers::Set { id, change }) => one(servers::change(app, VpsId(id), change).await?),
        Command::Tokens(Tokens::List(of)) => {
            let columns =
                &["id", "name", "writable", "scopes", "expires_at", "sources", "created_at", "last_used_at"];
            list(tokens::list(app, &of).await?, columns)
        }
        Command::Tokens(Tokens::Create(new)) => {
            let made = tokens::create(app, new).await?;
            Ok(Shown::Secret(made.secret.clone(), value(made)?))
        }
        Command::Tokens(Tokens::Delete { id, of }) => {
            tokens::delete(app, &of, TokenId(id)).await.map(|()| Shown::Done)
        }
        Command::Users(Users::List) => list(users::list(app).await?, &["id", "email", "name", "operator"]),
        Command::Users(Users::Create(new)) => password(users::create(app, new).await?),
        Command::Users(Users::ResetPassword { user }) => {
            password(users::set_password(app, &user, None).await?)
        }
        Command::Locations(Locations::List) => {
            list(places::locations(app).await?, &["id", "name", "description", "country", "city"])
        }
        Command::Locations(Locations::Create(new)) => one(places::create_location(app, new).await?),
        Command::Datacenters(Datacenters::List) => {
            list(places::datacenters(app).await?, &["id", "name", "location_id", "description"])
        }
        Command::Announcements(Announcements::List) => {
            list(announcements::list(app).await?, &["id", "kind", "location", "from", "until", "title"])
        }
        Command::Announcements(Announcements::Create(new)) => one(announcements::create(app, new).await?),
        Command::Announcements(Announcements::Delete { id }) => {
            announcements::delete(app, id).await.map(|()| Shown::Done)
        }
        Command::Audit(Audit::List { limit }) => list(
            audit::newest(app, limit).await?,
            &["id", "at", "actor_kind", "actor", "source", "event", "target_id", "target", "request"],
        ),
        Command::Audit(Audit::Verify) => match audit::verdict(app).await? {
            verdict if verdict.broken_at.is_none() => one(verdict),
            verdict => Err(crate::error::Error::Conflict(format!(
                "the audit trail was changed: entry {} does not fit its seal",
                verdict.broken_at.unwrap_or_default()
            ))),
        },
        Command::Datacenters(Datacenters::Create(new)) => one(places::create_datacenter(app, new).await?),
    }
}

async fn host(app: &App, command: Hosts) -> crate::error::Result<Shown> {
    let id = async |host: &Reference| hosts::find(app, host).await.map(|h| HostId(h.id));
    let update = async |host: &Reference, change| one(db::hosts::update(app, id(host).await?, change).await?);
    match command {
        Hosts::List => list(
            hosts::list(app).await?,
            &[
                "id",
                "name",
                "datacenter",
                "state",
                "cordoned",
                "vps_count",
                "lacks",
                "agent_version",
                "last_report_at",
            ],
        ),
        Hosts::Show { host } => one(hosts::whole(app, id(&host).await?).await?),
        Hosts::Token(new) => {
            let made = hosts::enrolment_by_name(app, &new).await?;
            Ok(Shown::Secret(made.token.clone(), value(made)?))
        }
        Hosts::Cordon { host, reason } => {
            let change = Update { cordoned: Some(true), cordon_reason: reason, ..Update::default() };
            update(&host, change).await
        }
        Hosts::Uncordon { host } => {
            update(&host, Update { cordoned: Some(false), ..Update::default() }).await
        }
        Hosts::Overcommit { host, times } => {
            update(&host, Update { cpu_overcommit: Some(times), ..Update::default() }).await
        }
        Hosts::Bgp { host } => one(gateways::show(app, id(&host).await?).await?),
        Hosts::SetBgp { host, wanted } => one(gateways::set(app, id(&host).await?, &wanted).await?),
        Hosts::UnsetBgp { host } => gateways::unset(app, id(&host).await?).await.map(|()| Shown::Done),
        Hosts::Address { host } => one(ports::address(app, id(&host).await?).await?),
        Hosts::SetAddress { host, wanted } => {
            one(ports::set_address(app, id(&host).await?, Some(wanted)).await?)
        }
        Hosts::UnsetAddress { host } => one(ports::set_address(app, id(&host).await?, None).await?),
        Hosts::Revoke { host } => one(db::hosts::revoke(app, id(&host).await?).await?),
        Hosts::Remove { host } => db::hosts::remove(app, id(&host).await?).await.map(|()| Shown::Done),
    }
}

fn password(made: users::WithPassword) -> crate::error::Result<Shown> {
    match made.password.clone() {
        Some(password) => Ok(Shown::Secret(password, value(made)?)),
        None => one(made),
    }
}

fn print(shown: Shown, as_json: bool) -> anyhow::Result<()> {
    let text = match (shown, as_json) {
        (Shown::Done, true) => "{}".to_owned(),
        (Shown::List(value, _) | Shown::One(value) | Shown::Secret(_, value), true) => {
            serde_json::to_string_pretty(&value)?
        }
        (Shown::Done, false) => "Done.".to_owned(),
        (Shown::Secret(secret, _), false) => secret,
        (Shown::One(value), false) => serde_json::to_string_pretty(&value)?,
        (Shown::List(rows, columns), false) => table(&rows, columns),
    };
    println!("{text}");
    Ok(())
}

/// Rows as aligned columns, with a head.
fn table(rows: &Value, columns: &[&str]) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let cell = |row: &Value, column: &str| match &row[column] {
        Value::Null => "-".to_owned(),
        Value::String(s) => s.clone(),
        Value::Array(all) if all.is_empty() => "-".to_owned(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    let head = columns.iter().map(|c| c.to_uppercase()).collect::<Vec<_>>();
    let body = rows.as_array().into_iter().flatten();
    let body = body.map(|row| columns.iter().map(|c| cell(row, c)).collect::<Vec<_>>());
    let all: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let width = |n: usize| all.iter().map(|row| row[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_aligned() {
        let rows = json!([{"id": 1, "name": "a"}, {"id": 20, "name": null}]);
        assert_eq!(table(&rows, &["id", "name"]), "ID  NAME\n1   a\n20  -");
        let rows = json!([{"lacks": []}, {"lacks": ["tun", "ipv6"]}]);
        assert_eq!(table(&rows, &["lacks"]), "LACKS\n-\ntun,ipv6");
    }

    #[test]
    fn every_command_is_well_formed() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            config: Config,
            #[command(flatten)]
            admin: Admin,
        }
        use clap::{CommandFactory as _, Parser as _};
        Cli::command().debug_assert();
        for line in [
            "x tokens create --project default --rw",
            "x tokens create --project default --name ci --read-only --json",
            "x tokens create --admin",
            "x tokens create --project default --scope servers:write --scope actions:read --expires-at 2027-02-09T12:00:00Z --source 192.0.2.0/24",
            "x tokens create --operator --name ops",
            "x hosts token host-2",
            "x images import --name debian-12 --file /tmp/x.tar.zst",
            "x images import --name a --file /tmp/x.squashfs --stop-signal SIGPWR --default-user debian",
            "x images from-server --server https://images.example --image alpine/3.19",
            "x images build-debian --suite bookworm --mirror http://mirror.example/debian",
            "x pools create nat2 10.9.0.0/24",
            "x pools create public 192.0.2.0/24 --kind proxy-arp",
            "x pools create anycast 198.51.100.0/24 --kind bgp",
            "x hosts bgp host-2",
            "x hosts set-bgp host-2 --asn 64512 --neighbour 192.0.2.1=64500 --neighbour 2001:db8::1=64500",
            "x hosts unset-bgp host-2",
            "x pools quarantine nat2 60",
            "x pools create nat3 10.8.0.0/24 --ports 10000-29999 --ports-per-vps 10 --force-ports",
            "x pools set-ports nat2 10000-29999",
            "x pools set-ports nat2 20000-59999 --ports-per-vps 100 --force",
            "x pools unset-ports nat2",
            "x hosts address host-2",
            "x hosts set-address host-2 203.0.113.7",
            "x hosts unset-address host-2",
            "x pools who 10.9.0.7 --at 2026-02-09T12:00:00Z",
            "x pools name-server nat2",
            "x pools set-name-server nat2 --server 192.0.2.53:53 --zone 9.10.in-addr.arpa --key-name berth",
            "x pools set-name-server nat2 --server [::1]:53 --zone a --zone b --key-name k --key-algorithm hmac-sha512 --key-secret AA== --default-name {ip-with-dashes}.example --ttl-s 60",
            "x pools forget-name-server nat2",
            "x servers set 7 --autostart-order -5",
            "x users create a@b.example --project default --operator",
            "x locations create fsn1 --latitude -3.5",
            "x servers limits 7",
            "x servers isolate 7 --reason spam",
            "x servers release 7",
            "x plans set-policy b2 --over-traffic throttle --throttle-mbit 10 --block-port tcp/25 --block-port udp/25",
            "x plans set-policy b2 --block-none",
            "x projects set-traffic default --pooled true",
            "x locations set-resolvers fsn1 192.0.2.53 2001:db8::53",
            "x locations set-resolvers fsn1",
            "x locations set-encryption fsn1 true",
            "x locations set-encryption fsn1 false",
            "x traffic set 15",
            "x audit list --limit 10",
            "x audit verify",
            "x announcements list",
            "x announcements create Sunday --text down --kind maintenance --until 2027-02-09T12:00:00Z --location fsn1",
            "x announcements delete 3",
            "x settings show",
            "x users reset-second-factor a@b.example",
            "x users export a@b.example --json",
            "x users close a@b.example",
            "x settings set --sign-up open",
            "x projects members default",
            "x projects suspend default --reason unpaid",
            "x projects resume default",
            "x projects quota default",
            "x projects set-quota default --servers 10 --memory-bytes none",
            "x projects default-quota",
            "x projects set-default-quota --servers 3 --addresses 3",
            "x projects set-member default a@b.example --role read_only",
            "x projects remove-member default 7",
            "x servers set-limits 7 --memory-high-bytes 0 --disk-read-bps 1048576",
            "x plans create p --cpu-milli 1 --memory-bytes 1 --disk-bytes 1 --cpu-guarantee-milli 1 --open-files 512",
        ] {
            Cli::try_parse_from(line.split(' ')).map(|_| ()).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        for line in
            ["x tokens create", "x tokens create --admin --project default", "x images import --name a"]
        {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
