//! The text of an etcd request and of its answer, as log lines print them.
//!
//! etcd prints protobuf text inside hand-written frames: `key:"/registry/pods/"
//! range_end:"/registry/pods0" limit:500 `. Up to 3.6 sub-messages stand in `<…>`, from 3.7 in
//! `{…}` with one or two spaces between fields. The text is then quoted once more (`%q`, a JSON
//! string), and a wrapper may quote it again or cut it anywhere. `token` reads all of this
//! without undoing the quoting first, so that keys borrow from the line.

pub mod names;
mod parse;
mod response;
mod shape;
mod token;
mod trace;
mod unescape;

pub(crate) use parse::{page_parts, parse_torn};
pub use parse::{parse_cut_request, parse_request, parse_request_as};
pub use response::{parse_response, response_error};
pub use shape::{Facts, cut_shape, shape_of};
pub(crate) use token::closing_quote;
pub use token::{Token, Tokens};
pub use trace::{Step, TraceDetail, parse_detail, parse_step};
pub use unescape::unescape;
