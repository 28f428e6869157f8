//! The scripts that Redis runs for us, each whole or not at all, and what it knows them by.
//!
//! A script and not single commands: what gives a message its number, keeps it and tells it must be one step, or two
//! servers that publish at once would disagree about the order.

use sha1::{Digest, Sha1};

/// What a script is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Publish,
    Read,
    Delete,
}

/// All of them, in the order in which they are loaded.
pub(super) const ALL: [Script; 3] = [Script::Publish, Script::Read, Script::Delete];

impl Script {
    /// Its text.
    pub(super) const fn source(self) -> &'static str {
        match self {
            Self::Publish => {
                concat!(include_str!("scripts/prelude.lua"), include_str!("scripts/publish.lua"))
            }
            Self::Read => {
                concat!(include_str!("scripts/prelude.lua"), include_str!("scripts/read.lua"))
            }
            Self::Delete => {
                concat!(include_str!("scripts/prelude.lua"), include_str!("scripts/delete.lua"))
            }
        }
    }
}

/// The names that Redis gives the scripts: SHA-1 of their text, in hexadecimal.
#[derive(Debug)]
pub(super) struct Names([String; 3]);

impl Names {
    pub(super) fn new() -> Self {
        let name = |script: Script| {
            let digest = Sha1::digest(script.source());
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        Self(ALL.map(name))
    }

    /// The name of one.
    pub(super) fn of(&self, script: Script) -> &str {
        &self.0[script as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_the_name_that_redis_gives_it() {
        let names = Names::new();
        for script in ALL {
            let name = names.of(script);
            assert!(name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert!(
                script.source().contains("local found = call('HMGET'"),
                "the prelude is before it"
            );
        }
        assert_ne!(names.of(Script::Publish), names.of(Script::Read));
    }
}
