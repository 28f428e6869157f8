//! Which file settings are read from.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Invocation;

/// What stands for no file.
const NONE: &str = "none";
/// Where a file is below a directory of settings.
const BELOW: &str = "tidings/tidings.toml";

impl Invocation {
    /// The file and what is in it. `None` if none was named and none is in the usual places.
    ///
    /// # Errors
    /// When a file that was named, or that is there, cannot be read.
    pub(super) fn find_file(&self) -> Result<Option<(PathBuf, String)>, String> {
        let variable = self.variables.get(OsStr::new("TIDINGS_CONFIG"));
        // A variable that is set to nothing is none: that is how compose files leave it out.
        let variable = variable.filter(|name| !name.is_empty());
        if let Some(name) = self.config.as_ref().or(variable) {
            if name == NONE {
                return Ok(None);
            }
            let path = Path::new(name);
            return match read(path) {
                Ok(Some(text)) => Ok(Some((path.to_owned(), text))),
                Ok(None) => Err(format!("{}: there is no such file (--config)", path.display())),
                Err(error) => Err(error),
            };
        }
        for path in self.usual_places() {
            if let Some(text) = read(&path)? {
                return Ok(Some((path, text)));
            }
        }
        Ok(None)
    }

    /// In order. Relative ones are none (XDG Base Directory Specification: "must be absolute").
    fn usual_places(&self) -> Vec<PathBuf> {
        let directory = |name: &str| {
            let path = PathBuf::from(self.variables.get(OsStr::new(name))?);
            path.is_absolute().then_some(path)
        };
        let home = directory("HOME").map(|home| home.join(".config"));
        let user = directory("XDG_CONFIG_HOME").or(home);
        let system = Some(PathBuf::from("/etc"));
        [user, system].into_iter().flatten().map(|place| place.join(BELOW)).collect()
    }
}

/// What is in the file; `None` if it is not there.
fn read(path: &Path) -> Result<Option<String>, String> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(format!("{}: cannot read it: {error}", path.display())),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
            Err(format!("{}:{line}: this is not UTF-8", path.display()))
        }
    }
}
