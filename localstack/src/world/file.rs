//! Worlds in a file, YAML or JSON: one VPC, or several with the accounts and regions that they go to.
//!
//! JSON is YAML, so one reader does for both; its errors name line and column. Imports the parent only.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::World;

/// A [`World`] and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacedWorld {
    /// The 12-digit account; in YAML it has to be quoted.
    pub account: String,
    /// The region.
    pub region: String,
    /// What goes there.
    pub world: World,
}

/// Why a file does not describe worlds: line, column and what is wrong there.
#[derive(Debug, thiserror::Error)]
pub enum WorldFileError {
    /// The text is not YAML, or not of this form, or describes what cannot be.
    #[error("{0}")]
    Text(String),
    /// An account of another form than AWS's.
    #[error("worlds[{index}].account: '{account}' is not 12 digits; write it in quotes")]
    Account {
        /// Which of the worlds, from 0 on.
        index: usize,
        /// What was given.
        account: String,
    },
}

/// A file with several worlds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    worlds: Vec<PlacedWorld>,
}

/// Tells the two forms apart.
#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    worlds: Option<IgnoredAny>,
}

/// Reads a file: a list `worlds` of places and worlds, or one world, which goes to `account` and `region`.
///
/// # Errors
/// When it is neither, with the line and column of what is wrong.
pub fn read_worlds(text: &str, account: &str, region: &str) -> Result<Vec<PlacedWorld>, WorldFileError> {
    let unreadable = |error: serde_saphyr::Error| WorldFileError::Text(error.to_string());
    let Probe { worlds } = serde_saphyr::from_str(text).map_err(unreadable)?;
    let placed = if worlds.is_some() {
        serde_saphyr::from_str::<Several>(text).map_err(unreadable)?.worlds
    } else {
        let world = serde_saphyr::from_str::<World>(text).map_err(unreadable)?;
        vec![PlacedWorld { account: account.to_owned(), region: region.to_owned(), world }]
    };
    for (index, PlacedWorld { account, .. }) in placed.iter().enumerate() {
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(WorldFileError::Account { index, account: account.clone() });
        }
    }
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"
worlds:
  - account: "111122223333"
    region: us-west-2
    world: {name: one, cidrs: [10.1.0.0/16]}
  - account: "444455556666"
    region: eu-central-1
    world:
      name: two
      cidrs: [10.2.0.0/16]
      internet_gateway: true
      subnets:
        - {name: a, zone: eu-central-1a, cidr: 10.2.1.0/24, public: true}
"#;

    fn read(text: &str) -> Result<Vec<PlacedWorld>, String> {
        read_worlds(text, "000000000000", "us-east-1").map_err(|error| error.to_string())
    }

    #[test]
    fn one_world_or_several_in_yaml_or_json() {
        let two = read(TWO).unwrap();
        let places: Vec<(&str, &str)> = two.iter().map(|placed| (placed.account.as_str(), placed.region.as_str())).collect();
        assert_eq!(places, [("111122223333", "us-west-2"), ("444455556666", "eu-central-1")]);
        let one = read(r#"{"name": "one", "cidrs": ["10.1.0.0/16"]}"#).unwrap();
        assert_eq!((one.len(), one[0].account.as_str(), one[0].region.as_str()), (1, "000000000000", "us-east-1"));
        assert_eq!(one[0].world, two[0].world);
    }

    #[test]
    fn errors_name_the_line_and_what_is_wrong() {
        for (text, words) in [
            (TWO.replace("zone:", "zoen:"), ["line 13", "zoen"]),
            (TWO.replace("10.2.1.0/24", "10.3.1.0/24"), ["line", "subnet 'a'"]),
            (TWO.replace("10.1.0.0/16", "10.1.0.0/99"), ["line 5", "10.1.0.0"]),
            (TWO.replace("\"444455556666\"", "\"4444\""), ["worlds[1]", "12 digits"]),
            ("name: [".to_owned(), ["line 1", ""]),
            ("names: x".to_owned(), ["line 1", "names"]),
        ] {
            let error = read(&text).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{error}");
            }
        }
    }
}
