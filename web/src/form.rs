//! Forms by name: fields with what was typed and what is wrong with it. Pages with many forms of many fields are made of
//! these; the template is `form.html`.

use crate::format::Field;

/// What a field takes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A line of text, by its `type` in HTML.
    Line(&'static str),
    /// Lines of text.
    Area,
    /// Yes or no; what is posted is `yes` or nothing.
    Check,
    /// One of these: value and words.
    Choice(Vec<(String, String)>),
    /// The name of what is destroyed.
    Confirm(String),
}

/// A field of a form.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name in the request.
    pub name: &'static str,
    /// Its id on the page.
    pub id: String,
    /// What it is, for people.
    pub label: &'static str,
    /// What it is for, or how it is written; may be empty.
    pub hint: String,
    /// Whether browsers ask for it.
    pub required: bool,
    /// What was typed, and what is wrong with it.
    pub field: Field,
    kind: Kind,
}

impl Input {
    fn new(name: &'static str, label: &'static str, kind: Kind, required: bool) -> Self {
        Self { name, id: String::new(), label, hint: String::new(), required, field: Field::default(), kind }
    }

    /// A line that must be there.
    #[must_use]
    pub fn line(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Line("text"), true)
    }

    /// An e-mail address.
    #[must_use]
    pub fn email(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Line("email"), true)
    }

    /// Something that is not shown again.
    #[must_use]
    pub fn secret(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Line("password"), false)
    }

    /// Lines, which need not be there.
    #[must_use]
    pub fn area(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Area, false)
    }

    /// Yes or no.
    #[must_use]
    pub fn check(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Check, false)
    }

    /// One of several, each a value and what it is called.
    #[must_use]
    pub fn choice(name: &'static str, label: &'static str, choices: Vec<(String, String)>) -> Self {
        Self::new(name, label, Kind::Choice(choices), true)
    }

    /// The name of what is destroyed, to be typed.
    #[must_use]
    pub fn confirm(thing: impl Into<String>) -> Self {
        Self::new("confirm", "Confirm", Kind::Confirm(thing.into()), true)
    }

    /// With a word on what it is for.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// It may be empty.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// With something in it.
    #[must_use]
    pub fn with(mut self, value: impl Into<String>) -> Self {
        self.field.value = value.into();
        self
    }

    pub(crate) fn is_check(&self) -> bool {
        self.kind == Kind::Check
    }

    pub(crate) fn is_area(&self) -> bool {
        self.kind == Kind::Area
    }

    pub(crate) fn kind(&self) -> &'static str {
        if let Kind::Line(kind) = self.kind { kind } else { "text" }
    }

    pub(crate) fn choices(&self) -> Option<&[(String, String)]> {
        if let Kind::Choice(choices) = &self.kind { Some(choices) } else { None }
    }

    pub(crate) fn confirms(&self) -> Option<&str> {
        if let Kind::Confirm(thing) = &self.kind { Some(thing) } else { None }
    }

    pub(crate) fn is_chosen(&self, value: &str) -> bool {
        self.field.value == value
    }
}

/// A form that posts.
#[derive(Clone, Debug)]
pub struct Form {
    /// Where to.
    pub action: String,
    /// What its button says.
    pub button: &'static str,
    /// Whether its button destroys.
    pub danger: bool,
    /// Its fields.
    pub inputs: Vec<Input>,
    /// What is wrong, where no field is to blame.
    pub error: Option<String>,
}

impl Form {
    /// An empty form. `id` tells it from others of the page and is the beginning of its fields' ids.
    #[must_use]
    pub fn new(id: &str, action: impl Into<String>, button: &'static str, mut inputs: Vec<Input>) -> Self {
        for input in &mut inputs {
            input.id = format!("{id}-{}", input.name);
        }
        Self { action: action.into(), button, danger: false, inputs, error: None }
    }

    /// With a button that destroys.
    #[must_use]
    pub fn danger(mut self) -> Self {
        self.danger = true;
        self
    }

    /// Puts in what was typed, by the fields' names; secrets are typed again.
    pub fn fill(&mut self, mut typed: impl FnMut(&str) -> String) {
        for input in self.inputs.iter_mut().filter(|input| input.kind != Kind::Line("password")) {
            input.field.value = typed(input.name);
        }
    }

    /// What was typed into a field; empty where there is no such field.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.inputs.iter().find(|input| input.name == name).map_or("", |input| input.field.value.as_str())
    }

    /// Says what is wrong, beside the field of this name where there is one.
    pub fn blame(&mut self, name: &str, message: impl Into<String>) {
        let message = Some(message.into());
        match self.inputs.iter_mut().find(|input| input.name == name) {
            Some(input) => input.field.error = message,
            None => self.error = message,
        }
    }

    pub(crate) fn needs_match(&self) -> bool {
        self.inputs.iter().any(|input| input.confirms().is_some())
    }
}

/// The foot of a list of which a part is shown.
#[derive(Clone, Debug, Default)]
pub struct Pager {
    /// How many there are in all.
    pub total: i64,
    /// Where those before are.
    pub back: Option<String>,
    /// Where those after are.
    pub next: Option<String>,
}

impl Pager {
    /// At part `number` (from 1) of a list in parts of `size`; `turn` says where another part is.
    pub fn at(number: i64, size: i64, total: i64, turn: impl Fn(i64) -> String) -> Self {
        Self {
            total,
            back: (number > 1).then(|| turn(number - 1)),
            next: (number.saturating_mul(size) < total).then(|| turn(number + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stand_beside_their_fields_and_secrets_are_not_shown_again() {
        let inputs = vec![Input::line("name", "Name"), Input::secret("key", "Key")];
        let mut form = Form::new("make", "/x", "Make", inputs);
        form.fill(|name| format!("typed {name}"));
        assert_eq!((form.value("name"), form.value("key"), form.value("other")), ("typed name", "", ""));
        assert_eq!(form.inputs[0].id, "make-name");
        form.blame("name", "no");
        form.blame("other", "odd");
        assert_eq!(form.inputs[0].field.error.as_deref(), Some("no"));
        assert_eq!(form.error.as_deref(), Some("odd"));
    }
}
