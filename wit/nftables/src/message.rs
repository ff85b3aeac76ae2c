//! Messages of a transaction, each a value that [`Batch::push`](crate::Batch::push) writes.
//!
//! Attributes are numbered as in linux/netfilter/nf_tables.h; their names stand beside the numbers.

pub mod chain;
pub mod flowtable;
pub mod object;
pub mod rule;
pub mod set;
pub mod table;

/// A message that names a thing of a table, or the table itself, and has no more to say.
macro_rules! naming {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $table:literal, $thing:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'a> {
            /// Of the table.
            pub family: crate::Family,
            /// The table.
            pub table: &'a str,
            /// Its name.
            pub name: &'a str,
        }

        impl crate::Encode for $name<'_> {
            fn kind(&self) -> u16 {
                crate::constants::$kind
            }

            fn flags(&self) -> u16 {
                0
            }

            fn family(&self) -> crate::Family {
                self.family
            }

            fn attributes(&self, writer: &mut crate::Writer) {
                writer.text($table, self.table);
                writer.text($thing, self.name);
            }
        }
    };
}
pub(crate) use naming;

/// Names of interfaces, as a list in `kind`.
pub(crate) fn devices(writer: &mut crate::Writer, kind: u16, names: &[&str]) {
    writer.nested(kind, |w| {
        for name in names {
            w.text(1, name); // NFTA_DEVICE_NAME
        }
    });
}
