//! The launcher: the generated type that holds the settings of one creation or submission and has the
//! user's parameters on its `remote`.
//!
//! The runtime's `ActorOptions<A>` and `TaskOptions<K>` own the setters and deref to it, so that
//! `Counter::options().name("c").remote(0)` finds a `remote` with the right parameters and no trait
//! has to be imported.

use proc_macro2::TokenStream;

/// Defines `__Launcher` around `settings`, and how the runtime gets at them.
pub(crate) fn definition(settings: &TokenStream) -> TokenStream {
    emit! {
        pub struct __Launcher(#settings);

        #[automatically_derived]
        impl ::core::clone::Clone for __Launcher {
            fn clone(&self) -> Self {
                __Launcher(::core::clone::Clone::clone(&self.0))
            }
        }

        #[automatically_derived]
        impl ::core::convert::From<#settings> for __Launcher {
            fn from(__settings: #settings) -> Self {
                __Launcher(__settings)
            }
        }

        #[automatically_derived]
        impl ::core::convert::AsRef<#settings> for __Launcher {
            fn as_ref(&self) -> &#settings {
                &self.0
            }
        }

        #[automatically_derived]
        impl ::core::convert::AsMut<#settings> for __Launcher {
            fn as_mut(&mut self) -> &mut #settings {
                &mut self.0
            }
        }
    }
}

/// Makes a launcher with settings that were not touched.
pub(crate) fn untouched() -> TokenStream {
    emit!(__Launcher(::core::default::Default::default()))
}
