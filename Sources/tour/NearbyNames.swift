/// The names that someone who typed `word` may have meant, the nearest first; at most three.
func nearbyNames(to word: String, among names: [String]) -> [String] {
    let typed = word.lowercased()
    let candidates = names.compactMap { name -> (name: String, distance: Int)? in
        // Who types the beginning of a name means that name, however long the rest is.
        if !typed.isEmpty, name.hasPrefix(typed) || typed.hasPrefix(name) { return (name, 0) }
        let distance = editDistance(typed, name)
        return distance <= max(1, name.count / 3) ? (name, distance) : nil
    }
    return candidates.sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }.prefix(3).map { $0.name }
}

/// How many letters must be inserted, deleted, replaced or swapped with their neighbour to turn `a` into `b`.
private func editDistance(_ a: String, _ b: String) -> Int {
    let a = Array(a), b = Array(b)
    // Row i holds the distances from a's first i letters to each beginning of b.
    var rows = [Array(0...b.count)]
    for i in a.indices {
        var row = [i + 1]
        for j in b.indices {
            var best = min(rows[i][j] + (a[i] == b[j] ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
            row.append(best)
        }
        rows.append(row)
    }
    return rows[a.count][b.count]
}
