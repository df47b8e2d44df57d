//! The one error of the control plane, free of any transport.
//!
//! The codes are those of the hcloud API, because its clients branch on `error.code`. What a variant carries is meant
//! for the person who asked; the text inside [`Error::Internal`] is logged once, where the response is made, and never
//! leaves the server.

/// Why a request could not be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No or an unknown token or session.
    #[error("unable to authenticate")]
    Unauthorized,
    /// The right token, after its time.
    #[error("{0}")]
    TokenOver(String),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// A read-only token was used to change something.
    #[error("the token is only allowed to perform GET requests")]
    TokenReadonly,
    /// There is no such thing, or it belongs to another project.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The path exists, the method does not.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// A value is wrong; names the field and says what would be right.
    #[error("invalid input in field '{field}': {message}")]
    InvalidInput {
        /// The field of the request, as the client wrote it.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// The body is not JSON, or not of the expected types.
    #[error("{0}")]
    Json(String),
    /// Something with this name or content exists already.
    #[error("{0}")]
    Uniqueness(String),
    /// The thing is protected against this.
    #[error("{0}")]
    Protected(String),
    /// The thing is busy with another action.
    #[error("{0}")]
    Locked(String),
    /// The state changed while the request ran; try again.
    #[error("{0}")]
    Conflict(String),
    /// No host or no address has room for this, or what is asked for is not there now. Nothing was reserved.
    #[error("{0}")]
    ResourceUnavailable(String),
    /// The thing is in use by another.
    #[error("{0}")]
    InUse(String),
    /// More of something than is possible.
    #[error("{0}")]
    LimitExceeded(String),
    /// What is asked for does not fit to how things are; the code says how, in the hcloud API's words.
    #[error("{message}")]
    Refused {
        /// The hcloud code.
        code: &'static str,
        /// Why, and what to do.
        message: String,
    },
    /// Too many requests.
    #[error("limit of requests per hour reached")]
    RateLimited,
    /// Too many event streams at once; tells how many may be open.
    #[error("{0}")]
    TooManyStreams(String),
    /// The request's body is too large.
    #[error("the request body is larger than {0} bytes")]
    TooLarge(usize),
    /// Our fault; the text is for the log.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<sqlx::Error> for Error {
    fn from(e: sqlx::Error) -> Self {
        Self::Internal(e.into())
    }
}

impl Error {
    /// A wrong value in `field`.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidInput { field: field.into(), message: message.into() }
    }

    /// The hcloud code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized | Self::TokenOver(_) => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::TokenReadonly => "token_readonly",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::InvalidInput { .. } => "invalid_input",
            Self::Json(_) => "json_error",
            Self::Uniqueness(_) => "uniqueness_error",
            Self::Protected(_) => "protected",
            Self::Locked(_) => "locked",
            Self::Conflict(_) => "conflict",
            Self::ResourceUnavailable(_) => "resource_unavailable",
            Self::InUse(_) => "resource_in_use",
            Self::LimitExceeded(_) => "resource_limit_exceeded",
            Self::Refused { code, .. } => code,
            Self::RateLimited | Self::TooManyStreams(_) => "rate_limit_exceeded",
            Self::TooLarge(_) => "invalid_input",
            Self::Internal(_) => "server_error",
        }
    }

    /// The HTTP status that goes with [`Error::code`].
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Json(_) => 400,
            Self::Unauthorized | Self::TokenOver(_) => 401,
            Self::Forbidden(_) | Self::TokenReadonly | Self::LimitExceeded(_) => 403,
            Self::NotFound(_) => 404,
            Self::MethodNotAllowed => 405,
            Self::Uniqueness(_) | Self::Conflict(_) => 409,
            Self::ResourceUnavailable(_) => 412,
            Self::TooLarge(_) => 413,
            Self::InvalidInput { .. } | Self::InUse(_) | Self::Refused { .. } => 422,
            Self::Locked(_) | Self::Protected(_) => 423,
            Self::RateLimited | Self::TooManyStreams(_) => 429,
            Self::Internal(_) => 500,
        }
    }
}

/// Name of the constraint that a database error broke, if it is that kind of error. Handlers translate by this name.
#[must_use]
pub fn broken_constraint(e: &sqlx::Error) -> Option<&str> {
    match e {
        sqlx::Error::Database(db) => db.constraint(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_to_know_stays_here() {
        let error = Error::from(anyhow::anyhow!("password of the database is hunter2"));
        assert_eq!((error.code(), error.status()), ("server_error", 500));
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn only_a_database_error_breaks_a_constraint() {
        assert_eq!(broken_constraint(&sqlx::Error::RowNotFound), None);
    }
}
