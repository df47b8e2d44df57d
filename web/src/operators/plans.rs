//! Plans, as operators see them.

use askama::Template;

use crate::form::Form;
use crate::format::{Money, When};
use crate::shell::Shell;

/// A plan.
#[derive(Clone, Debug)]
pub struct PlanRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Cores, memory and disk in words.
    pub specs: String,
    /// Net price a month.
    pub monthly: Money,
    /// Net price an hour.
    pub hourly: Money,
    /// Servers that have it.
    pub servers: i64,
    /// How many more fit now; none when it is not offered any more.
    pub fits: Option<i64>,
    /// Since when it is not offered any more.
    pub retired: Option<When>,
}

/// The page of all plans.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_plans.html")]
pub struct PlansPage {
    /// What stands around it.
    pub shell: Shell,
    /// The plans, those that are offered first.
    pub rows: Vec<PlanRow>,
}

/// The page on which a plan is made.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_plan_new.html")]
pub struct NewPlanPage {
    /// What stands around it.
    pub shell: Shell,
    /// Makes it.
    pub make: Form,
}

/// The page of one plan.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_plan.html")]
pub struct PlanPage {
    /// What stands around it.
    pub shell: Shell,
    /// The plan.
    pub row: PlanRow,
    /// All that a server of it may use: what, and how much.
    pub limits: Vec<(&'static str, String)>,
    /// How many more fit on each host: its id, its name, how many, and why none where it takes none.
    pub hosts: Vec<(i64, String, i64, &'static str)>,
    /// Changes what follows on traffic, and blocked ports.
    pub policy: Form,
    /// Stops offering it; none when it is not offered.
    pub retire: Option<Form>,
}
