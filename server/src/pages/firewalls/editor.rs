//! The editor of a firewall's rules, for a new firewall and for one that is there.
//!
//! It works without script: every button posts the whole form, and what is not saved is shown again with a row more or
//! less, with a template's rows, or with what the rules would change. Nothing is kept between the requests but the form.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Field, FirewallEditor, Notice, RuleForm, Section, Trial};

use super::{ports, protocol, templates};
use crate::app::App;
use crate::db::firewalls::{self, Difference, Firewall, Side};
use crate::domain::firewall::{self, MAX_RULES, RawRule, Rule};
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::error::{Error, Result};
use crate::ids::FirewallId;
use crate::pages::blame::blame;
use crate::pages::choose::Servers;
use crate::pages::cookies;
use crate::pages::dress::{Failed, Page};
use crate::pages::fields::Fields;
use crate::pages::keys::sentence;
use crate::pages::session::{Changer, Member, ThingId};

/// What a button of the editor does.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Save,
    Try,
    Add(&'static str),
    Drop(usize),
    Fill(&'a str),
}

impl<'a> Step<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let number = |text: &str| text.parse().map(Self::Drop).ok();
        let step = match text {
            "" | "save" => Some(Self::Save),
            "try" => Some(Self::Try),
            "add-in" => Some(Self::Add("in")),
            "add-out" => Some(Self::Add("out")),
            _ => match text.split_once('-') {
                Some(("drop", n)) => number(n),
                Some(("fill", name)) => Some(Self::Fill(name)),
                _ => None,
            },
        };
        step.ok_or_else(|| Error::invalid("do", "is none of the editor's buttons"))
    }
}

/// `GET /projects/{project}/firewalls/new`.
pub(in crate::pages) async fn new(Changer(member): Changer) -> Result<Response, Failed> {
    let editor = Editor { rules: templates::rules("ssh").unwrap_or_default(), ..Editor::default() };
    Ok(editor.page(&member, None).into_response())
}

/// `POST /projects/{project}/firewalls/new`.
pub(in crate::pages) async fn create(
    Changer(member): Changer,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let mut editor = Editor { name: Field::new(fields.get("name")), ..Editor::typed(&fields) };
    let step = Step::parse(fields.get("do"))?;
    if editor.turn(&step) {
        return Ok(editor.page(&member, None).into_response());
    }
    let name = Title::parse("name", &editor.name.value);
    let rules = parse(&mut editor.rules);
    let made = match (name, rules) {
        (Ok(name), Ok(rules)) => {
            firewalls::create(&app, member.id(), &name, &Labels::default(), &rules).await
        }
        (Err(e), Err(other)) => {
            blame(other, &mut [], &mut editor.error)?;
            Err(e)
        }
        (Err(e), _) | (_, Err(e)) => Err(e),
    };
    match made {
        Ok(id) => {
            let to = member.project.path(&format!("firewalls/{id}"));
            Ok((cookies::tell(&app.config, &to, Notice::FirewallMade), Redirect::to(&to)).into_response())
        }
        Err(e) => {
            let status = blame(e, &mut [("name", &mut editor.name)], &mut editor.error)?;
            Ok((status, editor.page(&member, None)).into_response())
        }
    }
}

/// `GET /projects/{project}/firewalls/{id}/rules`.
pub(in crate::pages) async fn editor(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let firewall = firewalls::get(&app.db, member.id(), FirewallId(id)).await?;
    let editor = Editor { rules: firewall.rules.iter().map(form).collect(), ..Editor::default() };
    Ok(editor.page(&member, Some(&firewall)).into_response())
}

/// `POST /projects/{project}/firewalls/{id}/rules`.
pub(in crate::pages) async fn set_rules(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let id = FirewallId(id);
    let firewall = firewalls::get(&app.db, member.id(), id).await?;
    let mut editor = Editor::typed(&fields);
    let step = Step::parse(fields.get("do"))?;
    if editor.turn(&step) {
        return Ok(editor.page(&member, Some(&firewall)).into_response());
    }
    let done = match (parse(&mut editor.rules), step) {
        (Ok(rules), Step::Try) => {
            let tried = firewalls::try_rules(&app.db, member.id(), id, &rules).await;
            match tried {
                Ok(differences) => {
                    let servers = Servers::load(&app, member.id()).await?;
                    editor.tried = Some(differences.iter().map(|d| trial(d, &servers)).collect());
                    return Ok(editor.page(&member, Some(&firewall)).into_response());
                }
                Err(e) => Err(e),
            }
        }
        (Ok(rules), _) => firewalls::set_rules(&app, member.id(), id, &rules).await.map(drop),
        (Err(e), _) => Err(e),
    };
    match done {
        Ok(()) => {
            let to = member.project.path(&format!("firewalls/{id}"));
            Ok((cookies::tell(&app.config, &to, Notice::FirewallChanged), Redirect::to(&to)).into_response())
        }
        Err(e) => {
            let status = blame(e, &mut [], &mut editor.error)?;
            Ok((status, editor.page(&member, Some(&firewall))).into_response())
        }
    }
}

/// The form as it is typed.
#[derive(Debug, Default)]
struct Editor {
    name: Field,
    rules: Vec<RuleForm>,
    error: Option<String>,
    tried: Option<Vec<Trial>>,
}

impl Editor {
    /// Reads the rows that were posted; of more than can be saved only the first that is too much.
    fn typed(fields: &Fields) -> Self {
        let row = |n: usize| {
            let field = |name: &str| Field::new(fields.trimmed(&format!("rules.{n}.{name}")));
            fields.has(&format!("rules.{n}.direction")).then(|| RuleForm {
                direction: field("direction"),
                protocol: field("protocol"),
                port: field("port"),
                nets: field("nets"),
                description: field("description"),
            })
        };
        Self { rules: (0..=MAX_RULES).map_while(row).collect(), ..Self::default() }
    }

    /// Does what needs no database: rows more, less, or others. Whether that was it.
    fn turn(&mut self, step: &Step<'_>) -> bool {
        match step {
            Step::Save | Step::Try => return false,
            Step::Add(_) if self.rules.len() >= MAX_RULES => {
                self.error = Some(format!("A firewall has at most {MAX_RULES} rules."));
            }
            Step::Add(direction) => self.rules.push(RuleForm {
                direction: Field::new(*direction),
                protocol: Field::new("tcp"),
                nets: Field::new("0.0.0.0/0, ::/0"),
                ..RuleForm::default()
            }),
            Step::Drop(n) if *n < self.rules.len() => drop(self.rules.remove(*n)),
            Step::Drop(_) => {} // a row that is gone already
            Step::Fill(name) => match templates::rules(name) {
                Some(rules) => self.rules = rules,
                None => self.error = Some("There is no such template.".to_owned()),
            },
        }
        true
    }

    fn page(self, member: &Member, of: Option<&Firewall>) -> Page<FirewallEditor> {
        Page(FirewallEditor {
            shell: member.shell(Section::Firewalls),
            project: member.project.clone(),
            of: of.map(|firewall| (firewall.id.0, firewall.name.clone())),
            name: self.name,
            rules: self.rules,
            templates: templates::offered(),
            error: self.error,
            tried: self.tried,
        })
    }
}

/// A rule that is there, as it is typed.
fn form(rule: &Rule) -> RuleForm {
    let nets: Vec<_> = rule.nets.iter().map(ToString::to_string).collect();
    RuleForm {
        direction: Field::new(if rule.inbound { "in" } else { "out" }),
        protocol: Field::new(protocol(rule.protocol).to_lowercase()),
        port: Field::new(rule.ports.map(ports).unwrap_or_default()),
        nets: Field::new(nets.join(", ")),
        description: Field::new(rule.description.clone().unwrap_or_default()),
    }
}

/// A rule as typed, as the domain reads it.
pub(super) fn raw(rule: &RuleForm) -> RawRule {
    let there = |field: &Field| Some(field.value.clone()).filter(|text| !text.is_empty());
    let (source_ips, destination_ips) =
        if rule.direction.value == "out" { (Vec::new(), nets(rule)) } else { (nets(rule), Vec::new()) };
    RawRule {
        direction: rule.direction.value.clone(),
        protocol: rule.protocol.value.clone(),
        port: there(&rule.port),
        source_ips,
        destination_ips,
        description: there(&rule.description),
    }
}

/// The networks of a rule, typed with commas or spaces between them.
fn nets(rule: &RuleForm) -> Vec<String> {
    let parts = rule.nets.value.split(|c: char| c == ',' || c.is_whitespace());
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Reads all rules; what is wrong with each is told beside it.
fn parse(rules: &mut [RuleForm]) -> Result<Vec<Rule>> {
    if rules.len() > MAX_RULES {
        return Err(Error::invalid("rules", format!("a firewall has at most {MAX_RULES} rules")));
    }
    let mut wrong = 0;
    for rule in rules.iter_mut() {
        if let Err(Error::InvalidInput { field, message }) = firewall::parse(vec![raw(rule)]) {
            blame_rule(rule, &field, &message);
            wrong += 1;
        }
    }
    match wrong {
        0 => firewall::parse(rules.iter().map(raw).collect()),
        1 => Err(Error::invalid("rules", "a rule is wrong; it says below how")),
        n => Err(Error::invalid("rules", format!("{n} rules are wrong; they say below how"))),
    }
}

/// Puts an error of `rules.0.source_ips.2` beside the networks, with the one that it is about.
fn blame_rule(rule: &mut RuleForm, field: &str, message: &str) {
    let mut path = field.split('.').skip(2);
    let (part, at) = (path.next().unwrap_or_default(), path.next());
    let text = at.and_then(|n| nets(rule).into_iter().nth(n.parse().ok()?));
    let error = Some(match text {
        Some(text) if message.ends_with('?') => format!("{text} {message}"),
        Some(text) => format!("{text} {message}."),
        None => sentence(message),
    });
    match part {
        "direction" => rule.direction.error = error,
        "protocol" => rule.protocol.error = error,
        "port" => rule.port.error = error,
        "description" => rule.description.error = error,
        _ => rule.nets.error = error,
    }
}

/// What would change for a server, in words.
fn trial(difference: &Difference, servers: &Servers) -> Trial {
    let lines = |public: &[Side], private: &[Side]| {
        let private = private.iter().map(|side| format!("{} (private networks)", line(side)));
        public.iter().map(line).chain(private).collect()
    };
    Trial {
        server: servers.name(difference.vps.0),
        added: lines(&difference.added, &difference.private_added),
        removed: lines(&difference.removed, &difference.private_removed),
    }
}

fn line((inbound, rule): &Side) -> String {
    let port = rule.ports.map(|range| format!(" {}", ports(range))).unwrap_or_default();
    let nets: Vec<_> = rule.nets.iter().map(ToString::to_string).collect();
    let (way, end) = if *inbound { ("in", "from") } else { ("out", "to") };
    format!("{way}: {}{port} {end} {}", protocol(rule.protocol), nets.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(port: &str, nets: &str) -> RuleForm {
        RuleForm {
            direction: Field::new("in"),
            protocol: Field::new("tcp"),
            port: Field::new(port),
            nets: Field::new(nets),
            description: Field::default(),
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        let typed = rule("any", "10.0.0.0/8 ::/0,192.0.2.0/24");
        let parsed = firewall::parse(vec![raw(&typed)]).unwrap();
        let shown = form(&parsed[0]);
        assert_eq!((shown.port.value.as_str(), shown.protocol.value.as_str()), ("any", "tcp"));
        assert_eq!(shown.nets.value, "10.0.0.0/8, ::/0, 192.0.2.0/24");
        assert_eq!(firewall::parse(vec![raw(&shown)]).unwrap(), parsed);
    }

    #[test]
    fn every_wrong_rule_says_so_beside_its_field() {
        let mut rules = [rule("22", "0.0.0.0/0"), rule("0", "0.0.0.0/0"), rule("80", "::/0, 10.0.0.1/8")];
        assert!(parse(&mut rules).is_err());
        assert_eq!(rules[0].port.error, None);
        assert!(rules[1].port.error.as_ref().is_some_and(|e| e.contains("1 to 65535")));
        assert!(rules[2].nets.error.as_ref().is_some_and(|e| e.starts_with("10.0.0.1/8 has host bits")));
        rules[1].direction = Field::new("up");
        assert!(parse(&mut rules[1..2]).is_err() && rules[1].direction.error.is_some());
    }

    #[test]
    fn buttons_change_rows() {
        let mut editor = Editor { rules: vec![rule("1", ""), rule("2", "")], ..Editor::default() };
        let ports = |editor: &Editor| editor.rules.iter().map(|r| r.port.value.clone()).collect::<Vec<_>>();
        assert!(editor.turn(&Step::parse("drop-0").unwrap()));
        assert_eq!(ports(&editor), ["2"]);
        assert!(editor.turn(&Step::parse("drop-7").unwrap()), "a row that is gone");
        assert!(editor.turn(&Step::parse("add-out").unwrap()));
        assert_eq!(editor.rules[1].direction.value, "out");
        assert!(editor.turn(&Step::parse("fill-closed").unwrap()));
        assert_eq!(editor.rules.len(), 0);
        for _ in 0..=MAX_RULES {
            editor.turn(&Step::Add("in"));
        }
        assert_eq!((editor.rules.len(), editor.error.is_some()), (MAX_RULES, true));
        assert!(!editor.turn(&Step::parse("").unwrap()), "the Enter key saves");
        for odd in ["drop-", "drop--1", "explode", "-"] {
            assert!(Step::parse(odd).is_err(), "{odd}");
        }
    }
}
