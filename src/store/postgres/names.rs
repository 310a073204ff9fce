//! The names of what is in the database.

/// A schema and a table, checked: plain identifiers, quoted wherever they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    schema: String,
    table: String,
}

/// Why a text is not the name of a schema or a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// It would have to be quoted in all SQL.
    #[error(
        "'{}' is not a plain name for a schema or a table; use lower-case letters, digits and '_', \
         beginning with a letter or '_'",
        crate::election::text::given(.0)
    )]
    NotPlain(String),
    /// Together they name the channel of the notifications, and Postgres has room for 63 bytes.
    #[error(
        "the names of the schema and the table, '{0}' and '{1}', are too long: 50 letters together"
    )]
    TooLong(String, String),
}

/// How long schema and table may be together: with what is added to them for the fence and the
/// index, every name stays below the 63 bytes at which Postgres cuts names off.
const ROOM: usize = 50;

impl Names {
    /// Checks the names; `bellwether` and `leases` where none is given.
    ///
    /// # Errors
    ///
    /// See [`InvalidName`].
    pub fn new(schema: Option<&str>, table: Option<&str>) -> Result<Self, InvalidName> {
        let schema = plain(schema.unwrap_or("bellwether"))?;
        let table = plain(table.unwrap_or("leases"))?;
        if schema.len() + table.len() > ROOM {
            return Err(InvalidName::TooLong(schema, table));
        }
        Ok(Self { schema, table })
    }

    /// The schema, unquoted.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The table without its schema, unquoted.
    pub fn table_name(&self) -> &str {
        &self.table
    }

    /// The table as SQL names it.
    pub fn table(&self) -> String {
        format!("\"{}\".\"{}\"", self.schema, self.table)
    }

    /// The unique index on `(election, term)` on which the fence rests, without its schema.
    pub fn index_name(&self) -> String {
        format!("{}_term", self.table)
    }

    /// The function of the fence without its schema: `fence`, unless another table than the
    /// usual one asks for a fence of its own.
    pub fn fence_name(&self) -> String {
        if self.table == "leases" { "fence".to_owned() } else { format!("{}_fence", self.table) }
    }

    /// The function of the fence as SQL names it.
    pub fn fence(&self) -> String {
        format!("\"{}\".\"{}\"", self.schema, self.fence_name())
    }

    /// The channel of the notifications.
    pub fn channel(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    /// The channel of those that announce renewals: older versions, which would read the record for
    /// each, do not listen on it.
    pub fn renewals_channel(&self) -> String {
        format!("{}.renewals", self.channel())
    }
}

fn plain(name: &str) -> Result<String, InvalidName> {
    let bytes = name.as_bytes();
    let begins = bytes.first().is_some_and(|b| b.is_ascii_lowercase() || *b == b'_');
    let is_plain = bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
    if begins && is_plain {
        Ok(name.to_owned())
    } else {
        Err(InvalidName::NotPlain(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_short() {
        let names = Names::new(None, None).unwrap();
        assert_eq!(names.table(), "\"bellwether\".\"leases\"");
        assert_eq!(names.fence(), "\"bellwether\".\"fence\"");
        let own = Names::new(Some("ops"), Some("leader_2")).unwrap();
        assert_eq!(own.fence(), "\"ops\".\"leader_2_fence\"");
        for bad in ["", "1a", "Leases", "a\"b", "a-b", "a.b", "a b", "ä"] {
            assert!(Names::new(Some(bad), None).is_err(), "{bad}");
            assert!(Names::new(None, Some(bad)).is_err(), "{bad}");
        }
        let longest = Names::new(Some(&"s".repeat(25)), Some(&"t".repeat(25))).unwrap();
        assert!(longest.renewals_channel().len() <= 63);
        let long = "x".repeat(45);
        assert!(Names::new(Some(&long), None).unwrap_err().to_string().contains("too long"));
    }
}
