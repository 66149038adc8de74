//! Go templates: text in, text or a positioned error out.
