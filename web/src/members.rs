//! Who works in a project, and one's own account.

use askama::Template;

use crate::format::{Field, When};
use crate::shell::{ProjectLink, Shell};

/// Somebody in the project.
#[derive(Clone, Debug)]
pub struct MemberRow {
    /// The user's id.
    pub id: i64,
    /// Their address.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// What they are, by its name in forms.
    pub role: String,
    /// The same in words.
    pub words: String,
    /// Since when.
    pub since: When,
    /// Whether it is who looks at the page.
    pub me: bool,
    /// Whether who looks at the page may change them.
    pub mine_to_change: bool,
}

/// Somebody who was asked to come.
#[derive(Clone, Debug)]
pub struct InvitationRow {
    /// Its id.
    pub id: i64,
    /// Who.
    pub email: String,
    /// What they will be, in words.
    pub words: String,
    /// Until when it is good.
    pub until: When,
}

/// The page of members.
#[derive(Clone, Debug, Template)]
#[template(path = "members.html")]
pub struct MembersPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The members.
    pub rows: Vec<MemberRow>,
    /// Who was asked.
    pub invitations: Vec<InvitationRow>,
    /// Roles that may be given: name and words.
    pub roles: Vec<(&'static str, &'static str)>,
    /// The address typed.
    pub email: Field,
    /// The role chosen.
    pub role: String,
    /// A link just made, shown this once.
    pub link: Option<String>,
    /// Whether it was sent by mail as well.
    pub mails: bool,
}

/// A browser that is signed in.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Its id.
    pub id: i64,
    /// What the browser says of itself.
    pub agent: String,
    /// Where it signed in from.
    pub source: Option<String>,
    /// When it signed in.
    pub created: When,
    /// When it was used last.
    pub seen: When,
    /// Whether it is this one.
    pub this: bool,
}

/// How it stands with one's second factor.
#[derive(Clone, Debug)]
pub enum FactorState {
    /// There is none.
    Off,
    /// A secret was made; a code is to show that the authenticator has it.
    Begun {
        /// The secret, to be typed.
        secret: String,
        /// How many modules the picture is wide.
        size: i32,
        /// The picture, as the path of an SVG: numbers and letters of ours.
        path: String,
    },
    /// It is on.
    On {
        /// Recovery codes that are left.
        left: i64,
    },
}

/// The page of one's second factor.
#[derive(Clone, Debug, Template)]
#[template(path = "factor.html")]
pub struct FactorPage {
    /// What stands around it.
    pub shell: Shell,
    /// How it stands.
    pub state: FactorState,
    /// What was wrong with what was typed.
    pub code: Field,
    /// Recovery codes just made, shown this once.
    pub codes: Vec<String>,
}

/// What was typed to close one's account.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    /// The password, which was wrong.
    pub password: Field,
    /// The address, typed to be sure.
    pub confirm: Field,
    /// Why it cannot be closed now.
    pub refused: Option<String>,
}

/// The operator's provider, as it stands with one's account.
#[derive(Clone, Debug)]
pub struct AccountProvider {
    /// What people know it as.
    pub name: String,
    /// The address there that the account is linked with, and since when.
    pub linked: Option<(String, When)>,
    /// Whether the account has a password.
    pub password: bool,
    /// What was wrong.
    pub error: Option<String>,
}

/// The page of one's own account.
#[derive(Clone, Debug, Template)]
#[template(path = "account.html")]
pub struct AccountPage {
    /// What stands around it.
    pub shell: Shell,
    /// What one is called.
    pub name: Field,
    /// The present password, which was wrong.
    pub current: Field,
    /// The new password, which did not do.
    pub new: Field,
    /// Where one is signed in.
    pub sessions: Vec<SessionRow>,
    /// The name of a new project.
    pub project: Field,
    /// Whether a second factor is on.
    pub factor: bool,
    /// How many passkeys there are.
    pub passkeys: i64,
    /// The operator's provider, if there is one.
    pub provider: Option<AccountProvider>,
    /// What was typed to close the account.
    pub closing: Closing,
}
