//! Icons: references into the sprite that the asset build makes from the names used in templates and code.

use std::fmt;

use crate::assets;

/// An icon of the sprite. Decorative: a word always stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icon(&'static str);

/// The icon of this name.
#[must_use]
pub fn icon(name: &'static str) -> Icon {
    Icon(name)
}

impl fmt::Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sprite = assets::url("icons.svg");
        write!(f, r##"<svg class="icon" aria-hidden="true"><use href="{sprite}#{}"></use></svg>"##, self.0)
    }
}

// The name is a literal of ours, so the markup above is safe as it stands.
impl askama::filters::HtmlSafe for Icon {}
