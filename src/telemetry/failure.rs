//! The closed list of reasons why a request was not answered by a back end as asked.

macro_rules! failures {
    ($($variant:ident $word:literal)*) => {
        /// Reason of a failed or refused request; the word stands in the access log and in `fairlead_failures_total`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the words are the documentation; docs/metrics.md explains each")]
        pub enum Failure { $($variant),* }

        impl Failure {
            /// Every reason.
            pub const ALL: &'static [Failure] = &[$(Failure::$variant),*];

            /// The word in log and metric.
            pub fn as_str(self) -> &'static str {
                match self { $(Failure::$variant => $word),* }
            }
        }
    };
}

failures! {
    AuthError "auth_error"
    AuthFailed "auth_failed"
    BadRequest "bad_request"
    BodyTooLarge "body_too_large"
    ClientGone "client_gone"
    Denied "denied"
    Draining "draining"
    HeadTooLarge "head_too_large"
    Internal "internal"
    LimitConnections "limit_connections"
    LimitInFlight "limit_in_flight"
    LimitRate "limit_rate"
    Misdirected "misdirected"
    NoEndpoints "no_endpoints"
    NoRoute "no_route"
    Shed "shed"
    TimeoutBody "timeout_body"
    TimeoutConnect "timeout_connect"
    TimeoutHead "timeout_head"
    TimeoutResponse "timeout_response"
    UpstreamCut "upstream_cut"
    UpstreamInvalid "upstream_invalid"
    UpstreamRefused "upstream_refused"
    UpstreamReset "upstream_reset"
}
