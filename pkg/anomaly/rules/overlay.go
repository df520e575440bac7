package rules

import "slices"

// overlay lays a file over the built-in rules: a list replaces one of its name; a rule of a known id changes the keys that it has and keeps the others.
func overlay(base, own *document) {
	if own.timezone != nil {
		base.timezone = own.timezone
	}
	for _, list := range own.lists {
		base.lists = slices.DeleteFunc(base.lists, func(n named) bool { return n.name == list.name })
		base.lists = append(base.lists, list)
	}
	known := make(map[string]*draft, len(base.drafts))
	for _, d := range base.drafts {
		known[d.id] = d
	}
	for _, d := range own.drafts {
		below := known[d.id]
		if below == nil {
			base.drafts = append(base.drafts, d)
			continue
		}
		_, event := d.values["event"]
		_, window := d.values["window"]
		if event || window {
			// What was expected of another condition would mislead.
			for _, key := range []string{"event", "window", "expected"} {
				delete(below.values, key)
			}
		}
		if window {
			delete(below.values, "on")
		}
		for key, v := range d.values {
			below.values[key] = v
		}
		below.builtIn, below.at = false, d.at
	}
}
