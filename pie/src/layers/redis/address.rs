//! Where a server is.

use std::fmt;

use redis::Client;

use crate::error::Result;

/// Where a server is; shown without user and password.
#[derive(Clone)]
pub(super) enum Address {
    /// One server, wherever its name leads.
    Fixed(Client),
}

impl Address {
    /// How to connect to whoever is there now.
    ///
    /// # Errors
    /// Nobody who would know could be asked.
    pub(super) async fn client(&self) -> Result<Client> {
        match self {
            Self::Fixed(client) => Ok(client.clone()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(client) => write!(f, "{}", client.get_connection_info().addr()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
