//! The browser client's files: the module, the classic script that is made of it, and its types.

/// `/tidings.js`
pub(super) const MODULE: &str = include_str!("../page/tidings.js");
/// `/tidings-share.js`, which the other two load when a page asks for it
pub(super) const SHARE: &str = include_str!("../page/tidings-share.js");
/// `/tidings.d.ts`
pub(super) const TYPES: &str = include_str!("../page/tidings.d.ts");
/// `/tidings.classic.js`: the module up to its last lines, in a function of its own.
pub(super) static CLASSIC: &str = match std::str::from_utf8(&CLASSIC_BYTES) {
    Ok(text) => text,
    Err(_) => panic!("text beside text is text"),
};

/// The first of the lines that only a module may have.
const MODULES_OWN: &str = "// What follows is the module's own";
/// What a classic script has around the rest.
const BEFORE: &str = "// The client of /tidings.js as a classic script: window.tidings.\n\
    (() => {\n'use strict';\n";
const BEHIND: &str = "const home = globalThis.document?.currentScript?.src || globalThis.location?.href;\n\
    globalThis.tidings = { subscribe, publish, TidingsEventSource };\n})();\n";

const BODY_LENGTH: usize = find(MODULE.as_bytes(), MODULES_OWN.as_bytes());
static CLASSIC_BYTES: [u8; BEFORE.len() + BODY_LENGTH + BEHIND.len()] = {
    let mut all = [0; BEFORE.len() + BODY_LENGTH + BEHIND.len()];
    let (before, rest) = all.split_at_mut(BEFORE.len());
    let (body, behind) = rest.split_at_mut(BODY_LENGTH);
    before.copy_from_slice(BEFORE.as_bytes());
    body.copy_from_slice(MODULE.as_bytes().split_at(BODY_LENGTH).0);
    behind.copy_from_slice(BEHIND.as_bytes());
    all
};

/// Where `needle` first is; a build without it fails.
const fn find(text: &[u8], needle: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let mut same = 0;
        while same < needle.len() && text[at + same] == needle[same] {
            same += 1;
        }
        if same == needle.len() {
            return at;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_script_is_the_module_but_for_its_last_lines() {
        let (body, own) = MODULE.split_once(MODULES_OWN).unwrap();
        assert_eq!(CLASSIC, format!("{BEFORE}{body}{BEHIND}"));
        let exported = "{ subscribe, publish, TidingsEventSource };";
        assert!(own.ends_with(&format!("\nexport {exported}\n")) && own.lines().count() == 3);
        assert!(BEHIND.contains(exported), "both give the same names");
    }

    #[test]
    fn nothing_that_only_a_module_may_say_is_in_the_classic_script() {
        for word in ["import.meta", "\nexport ", "\nimport ", "\nawait "] {
            assert!(!CLASSIC.contains(word), "{word:?}");
        }
    }
}
