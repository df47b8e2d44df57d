//! Label selectors in SQL: the same meaning as [`Selector::matches`].

use sqlx::{Postgres, QueryBuilder};

use crate::domain::selector::{Condition, Selector};

/// Writes ` and …` for each requirement on the jsonb column `column`.
pub(super) fn push(query: &mut QueryBuilder<Postgres>, column: &'static str, selector: &Selector) {
    for requirement in &selector.0 {
        query.push(" and ");
        match &requirement.condition {
            Condition::Exists => {
                query.push(column).push(" ? ").push_bind(requirement.key.clone());
            }
            Condition::Absent => {
                query.push("not ").push(column).push(" ? ").push_bind(requirement.key.clone());
            }
            Condition::In(values) => {
                query.push(column).push("->>").push_bind(requirement.key.clone());
                query.push(" = any(").push_bind(values.clone()).push(")");
            }
            Condition::NotIn(values) => {
                query.push("(").push(column).push("->>").push_bind(requirement.key.clone());
                query.push(" = any(").push_bind(values.clone()).push(")) is not true");
            }
        }
    }
}
