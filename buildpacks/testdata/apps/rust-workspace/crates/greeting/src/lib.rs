pub fn text() -> String {
    format!("{} of the workspace\n", include_str!("../greeting.txt").trim())
}
