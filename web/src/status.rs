//! The state of a server as people see it.

use crate::icon::{Icon, icon};

/// What a server is doing. Made from desired and observed state; unknown is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Being made.
    Creating,
    /// Its guest is being started.
    Starting,
    /// PID 1 runs.
    Running,
    /// Asked to stop.
    Stopping,
    /// Stopped.
    Off,
    /// Being deleted.
    Deleting,
    /// Its host has not said, or not for a while.
    Unknown,
}

impl Status {
    /// The word beside the icon.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
            Self::Off => "Off",
            Self::Deleting => "Deleting",
            Self::Unknown => "Unknown",
        }
    }

    /// The class that gives the colour.
    #[must_use]
    pub fn tone(self) -> &'static str {
        match self {
            Self::Running => "ok",
            Self::Creating | Self::Starting | Self::Stopping | Self::Deleting => "busy",
            Self::Off => "idle",
            Self::Unknown => "warn",
        }
    }

    /// The shape.
    #[must_use]
    pub fn icon(self) -> Icon {
        match self {
            Self::Running => icon("circle-check"),
            Self::Creating | Self::Starting | Self::Stopping | Self::Deleting => icon("loader-circle"),
            Self::Off => icon("circle-stop"),
            Self::Unknown => icon("circle-question-mark"),
        }
    }
}
