//! Names that the generators of bindings trip over, found before they do: what these say of it is hard to read.

use wit_bindgen_core::wit_parser::{Resolve, TypeDefKind, WorldId, WorldItem};

use super::{Language, ProjectError};

/// What has a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Type,
    Field,
    EnumCase,
    VariantCase,
}

/// Refuses names that cannot be written in a language: of a world, and of the types that it uses.
pub(super) fn check(language: Language, resolve: &Resolve, world: WorldId) -> Result<(), ProjectError> {
    let name = &resolve.worlds[world].name;
    let files: &[&str] = match language {
        Language::C => &["bespoke"],
        Language::Javascript | Language::Typescript => &["bespoke", "imports"],
        Language::Python | Language::Go | Language::Rust => &[],
    };
    if files.contains(&&**name) {
        let why = "another file in `bindings/` is called so";
        return Err(ProjectError::Taken { name: name.clone(), language: language.name(), why });
    }
    for item in resolve.worlds[world].imports.values() {
        let WorldItem::Interface { id, .. } = item else { continue };
        for (name, id) in &resolve.interfaces[*id].types {
            refuse(language, Holder::Type, name, "the type")?;
            let inside =
                |holder, case: &str, what: &str| refuse(language, holder, case, &format!("{what} of `{name}`"));
            match &resolve.types[*id].kind {
                TypeDefKind::Record(record) => {
                    record.fields.iter().try_for_each(|field| inside(Holder::Field, &field.name, "the field"))?;
                }
                TypeDefKind::Enum(cases) => {
                    cases.cases.iter().try_for_each(|case| inside(Holder::EnumCase, &case.name, "the symbol"))?;
                }
                TypeDefKind::Variant(cases) => {
                    cases.cases.iter().try_for_each(|case| inside(Holder::VariantCase, &case.name, "the branch"))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn refuse(language: Language, holder: Holder, name: &str, what: &str) -> Result<(), ProjectError> {
    let is_bad = match language {
        // `gen` is reserved and not escaped; `self` becomes `Self`.
        Language::Rust => name == "gen" || (name == "self" && holder != Holder::Field),
        Language::C => matches!(name, "typeof" | "restrict") && holder != Holder::Type,
        // A case's constructor would be the method that tells cases apart.
        Language::Go => name == "tag" && holder == Holder::VariantCase,
        Language::Python | Language::Javascript | Language::Typescript => false,
    };
    if is_bad {
        return Err(ProjectError::Name { what: what.to_owned(), name: name.to_owned(), language: language.name() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_is_not_called_as_the_files_beside_its_own() {
        let opened = |language, name: &str| {
            let mut resolve = Resolve::default();
            let text = format!("package local:m; world {name} {{ export process: func(); }}");
            let package = resolve.push_str("m.wit", &text).expect("a package");
            let world = resolve.select_world(&[package], None).expect("a world");
            check(language, &resolve, world)
        };
        for language in Language::ALL {
            let is_script = matches!(language, Language::Javascript | Language::Typescript);
            assert_eq!(opened(language, "bespoke").is_err(), is_script || language == Language::C, "{language:?}");
            assert_eq!(opened(language, "imports").is_err(), is_script, "{language:?}");
            assert!(opened(language, "price-check").is_ok(), "{language:?}");
        }
    }
}
