//! What a field of a settings struct stands for, and how a struct of settings is declared.

use super::{Rule, Setting, SettingType, Settings};
use crate::error::{Error, Result};

/// What stands behind a field of [`settings!`](crate::settings!): the rule of one setting, a
/// [`GROUP`] of settings, or [`NO_SETTING`].
pub trait Field<T> {
    /// Appends the settings that the field holds.
    fn list(&self, declared: (&'static str, &'static str), value: &T, all: &mut Vec<Setting>);

    /// Sets the setting called `asked` from text; none where it is not in this field.
    fn set(&self, name: &str, value: &mut T, asked: &str, text: &str) -> Option<Result<()>>;

    /// Checks the field's value.
    ///
    /// # Errors
    /// A value out of range.
    fn check(&self, name: &str, value: &T) -> Result<()>;
}

impl<T: SettingType> Field<T> for Rule<T> {
    fn list(&self, (name, about): (&'static str, &'static str), value: &T, all: &mut Vec<Setting>) {
        all.push(Setting {
            name,
            value: value.value(),
            allowed: self.allowed,
            about,
        });
    }

    fn set(&self, name: &str, value: &mut T, asked: &str, text: &str) -> Option<Result<()>> {
        (name == asked).then(|| match T::parse(text.trim()) {
            Some(parsed) if self.allowed.holds(&parsed.value()) => {
                *value = parsed;
                Ok(())
            }
            Some(_) => Err(Error::setting(name, text, self.allowed)),
            None => {
                let expected = T::expected(text.trim(), self.allowed);
                Err(Error::setting(name, text, expected))
            }
        })
    }

    fn check(&self, name: &str, value: &T) -> Result<()> {
        let value = value.value();
        match self.allowed.holds(&value) {
            true => Ok(()),
            false => Err(Error::setting(name, value, self.allowed)),
        }
    }
}

/// A field that holds settings which others have too: they are listed and set as if they stood in
/// its place.
#[derive(Debug, Clone, Copy)]
pub struct Group;

/// [`Group`], where a rule would stand.
pub const GROUP: Group = Group;

impl<T: Settings> Field<T> for Group {
    fn list(&self, _: (&'static str, &'static str), value: &T, all: &mut Vec<Setting>) {
        all.extend(value.settings());
    }

    fn set(&self, _: &str, value: &mut T, asked: &str, text: &str) -> Option<Result<()>> {
        value.has(asked).then(|| value.set(asked, text))
    }

    fn check(&self, _: &str, value: &T) -> Result<()> {
        value.check()
    }
}

/// A field that is no setting: it is neither listed nor set by name.
#[derive(Debug, Clone, Copy)]
pub struct NoSetting;

/// [`NoSetting`], where a rule would stand.
pub const NO_SETTING: NoSetting = NoSetting;

impl<T> Field<T> for NoSetting {
    fn list(&self, _: (&'static str, &'static str), _: &T, _: &mut Vec<Setting>) {}

    fn set(&self, _: &str, _: &mut T, _: &str, _: &str) -> Option<Result<()>> {
        None
    }

    fn check(&self, _: &str, _: &T) -> Result<()> {
        Ok(())
    }
}

/// Declares a settings struct: `pub name: Type = default, RULE;` with a doc comment each.
///
/// ```
/// use hig::settings::{Settings, POSITIVE};
///
/// hig::settings! {
///     /// A pendulum.
///     pub struct Pendulum {
///         /// Length in metres.
///         pub length: f64 = 1.0, POSITIVE;
///     }
/// }
///
/// let mut pendulum = Pendulum::default();
/// pendulum.set("length", "2.5")?;
/// assert_eq!(pendulum.length, 2.5);
/// let message = pendulum.set("length", "-1").unwrap_err().to_string();
/// assert_eq!(message, "length = -1 is not possible: it must be a finite number above 0");
/// # Ok::<(), hig::Error>(())
/// ```
///
/// Settings that several structs share are a struct of their own, which each of them holds in a field
/// with [`GROUP`](crate::settings::GROUP) for a rule; by name they are set as all others:
///
/// ```
/// # use hig::settings::{Settings, POSITIVE};
/// # hig::settings! {
/// #     /// A pendulum.
/// #     pub struct Pendulum {
/// #         /// Length in metres.
/// #         pub length: f64 = 1.0, POSITIVE;
/// #     }
/// # }
/// use hig::settings::GROUP;
///
/// hig::settings! {
///     /// A pendulum on a cart.
///     pub struct Cart {
///         /// Mass in kilograms.
///         pub mass: f64 = 3.0, POSITIVE;
///         /// What hangs on it.
///         pub pendulum: Pendulum = Pendulum { length: 0.5 }, GROUP;
///     }
/// }
///
/// let mut cart = Cart::default();
/// cart.set("length", "2.5")?;
/// assert_eq!(cart.pendulum.length, 2.5);
/// let names: Vec<&str> = cart.settings().iter().map(|setting| setting.name).collect();
/// assert_eq!(names, ["mass", "length"]);
/// # Ok::<(), hig::Error>(())
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])* pub $field:ident : $kind:ty = $default:expr, $rule:expr; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $kind, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::settings::Settings for $name {
            fn settings(&self) -> Vec<$crate::settings::Setting> {
                let mut all = Vec::new();
                $( {
                    let declared = (stringify!($field), concat!($($doc),*).trim());
                    let field = &self.$field;
                    $crate::settings::Field::<$kind>::list(&$rule, declared, field, &mut all);
                } )*
                all
            }

            fn set(&mut self, name: &str, text: &str) -> $crate::Result<()> {
                $( {
                    let (own, field) = (stringify!($field), &mut self.$field);
                    let set = $crate::settings::Field::<$kind>::set(&$rule, own, field, name, text);
                    if let Some(result) = set {
                        return result;
                    }
                } )*
                let known = $crate::settings::Settings::settings(self);
                let known = known.iter().map(|setting| setting.name);
                Err($crate::Error::unknown("setting", name, known))
            }

            fn check(&self) -> $crate::Result<()> {
                $( $crate::settings::Field::<$kind>::check(
                    &$rule, stringify!($field), &self.$field,
                )?; )*
                Ok(())
            }
        }
    };
}
