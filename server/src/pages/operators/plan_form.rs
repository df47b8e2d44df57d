//! The form of a plan: sizes in the units that people use, by the names that the operators' API has for them, so that
//! what the domain says of a value stands beside its field.

use berth_proto::Limits;
use berth_web::{Form, Input};

use super::read as keep;
use crate::db::plans::{NewPlan, Plan};
use crate::domain::amount;
use crate::domain::names::Slug;
use crate::domain::price::Price;
use crate::error::Result;

const GB: i64 = 1 << 30;
const MB: i64 = 1 << 20;

/// A limit, and in what it is told.
pub(super) struct Unit {
    field: &'static str,
    pub(super) label: &'static str,
    /// The unit's name.
    pub(super) name: &'static str,
    /// How much one of it is.
    pub(super) size: i64,
    /// What it holds until somebody types something; empty: it must be typed.
    usual: &'static str,
    /// What zero means; empty where it means nothing else.
    pub(super) none: &'static str,
    pub(super) of: fn(&Limits) -> i64,
    set: fn(&mut Limits, i64),
}

macro_rules! unit {
    ($field:ident, $label:literal, $name:literal, $size:expr, $usual:literal, $none:literal) => {
        Unit {
            field: stringify!($field),
            label: $label,
            name: $name,
            size: $size,
            usual: $usual,
            none: $none,
            of: |limits| limits.$field,
            set: |limits, value| limits.$field = value,
        }
    };
}

/// All limits of a plan.
pub(super) const UNITS: [Unit; 16] = [
    unit!(cpu_milli, "CPU", "cores", 1000, "", ""),
    unit!(memory_bytes, "Memory", "GB", GB, "", ""),
    unit!(disk_bytes, "Disk", "GB", GB, "", ""),
    unit!(swap_bytes, "Swap", "GB", GB, "0", "none"),
    unit!(pids, "Processes and threads", "", 1, "4096", ""),
    unit!(bandwidth_mbit, "Bandwidth each way", "Mbit/s", 1, "0", "no limit"),
    unit!(cpu_guarantee_milli, "CPU that is guaranteed", "cores", 1000, "0", "none"),
    unit!(cpu_weight, "Share of the CPU when it is short", "(100 is one core's)", 1, "0", "by its cores"),
    unit!(memory_high_bytes, "Memory from which on it is slowed down", "GB", GB, "0", "none"),
    unit!(memory_guarantee_bytes, "Memory that is guaranteed", "GB", GB, "0", "none"),
    unit!(disk_read_bps, "Read from the disk", "MB/s", MB, "0", "no limit"),
    unit!(disk_write_bps, "Written to the disk", "MB/s", MB, "0", "no limit"),
    unit!(disk_read_iops, "Reads of the disk", "a second", 1, "0", "no limit"),
    unit!(disk_write_iops, "Writes to the disk", "a second", 1, "0", "no limit"),
    unit!(inodes, "Files on the disk", "", 1, "0", "as a disk of its size has"),
    unit!(open_files, "Open files of a process", "", 1, "0", "the host's limit"),
];

/// The form, empty.
pub(super) fn form() -> Form {
    let mut inputs = vec![
        Input::line("name", "Name").hint("Small letters, digits and hyphens, as b2."),
        Input::line("description", "For people").optional(),
        Input::line("price_monthly", "Net price a month").with("0"),
        Input::line("price_hourly", "Net price an hour").with("0"),
        Input::line("included_traffic", "Traffic a month that the price includes")
            .hint("GB; 0: no end to it.")
            .with("0"),
    ];
    inputs.extend(UNITS.iter().map(|unit| {
        let none = if unit.none.is_empty() { String::new() } else { format!("0: {}.", unit.none) };
        let hint = [unit.name, &none].join(if unit.name.is_empty() || none.is_empty() { "" } else { "; " });
        Input::line(unit.field, unit.label).hint(hint).with(unit.usual)
    }));
    Form::new("plan", "/fleet/plans/new", "Make plan", inputs)
}

/// Fills it with what another plan has; the name is to be another one.
pub(super) fn copy(form: &mut Form, plan: &Plan) {
    let limits = plan.limits();
    form.fill(|name| match name {
        "description" => plan.description.clone(),
        "price_monthly" => short(&plan.price_monthly),
        "price_hourly" => short(&plan.price_hourly),
        "included_traffic" => amount::tell(plan.included_traffic, GB),
        _ => UNITS
            .iter()
            .find(|unit| unit.field == name)
            .map_or_else(String::new, |unit| amount::tell((unit.of)(&limits), unit.size)),
    });
}

/// A price without the zeros at its end.
fn short(price: &str) -> String {
    match price.split_once('.') {
        Some(_) => price.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => price.to_owned(),
    }
}

/// Reads it; none: it says what is wrong beside each field.
pub(super) fn read(form: &mut Form) -> Result<Option<NewPlan>> {
    let typed = |form: &Form, name: &str| form.value(name).to_owned();
    let mut limits = Limits::default();
    let mut good = true;
    for unit in &UNITS {
        let value = amount::parse(unit.field, &typed(form, unit.field), unit.size);
        match keep(form, value)? {
            Some(value) => (unit.set)(&mut limits, value),
            None => good = false,
        }
    }
    let (name, monthly) = (typed(form, "name"), typed(form, "price_monthly"));
    let (hourly, included) = (typed(form, "price_hourly"), typed(form, "included_traffic"));
    let name = keep(form, Slug::parse("name", &name))?;
    let price_monthly = keep(form, Price::parse("price_monthly", &monthly))?;
    let price_hourly = keep(form, Price::parse("price_hourly", &hourly))?;
    let included = keep(form, amount::parse("included_traffic", &included, GB))?;
    let (Some(name), Some(price_monthly), Some(price_hourly), Some(included_traffic), true) =
        (name, price_monthly, price_hourly, included, good)
    else {
        return Ok(None);
    };
    let description = typed(form, "description");
    Ok(Some(NewPlan { name, description, limits, included_traffic, price_hourly, price_monthly }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_read_and_every_mistake_is_told() {
        let mut good = form();
        good.fill(|name| match name {
            "name" => "b2".into(),
            "cpu_milli" => "1.5".into(),
            "memory_bytes" | "disk_bytes" => "2".into(),
            "price_monthly" => "4.90".into(),
            _ => "0".into(),
        });
        let plan = read(&mut good).unwrap().expect("a plan");
        assert_eq!((plan.limits.cpu_milli, plan.limits.memory_bytes), (1500, 2 * GB));
        let mut bad = form();
        bad.fill(|_| "x y".into());
        assert!(read(&mut bad).unwrap().is_none());
        let wrong = bad.inputs.iter().filter(|input| input.field.error.is_some()).count();
        assert_eq!(wrong, bad.inputs.len() - 1, "all but the description");
        assert_eq!(
            (short("4.9000000000"), short("12"), short("0.000")),
            ("4.9".into(), "12".into(), "0".into())
        );
    }
}
