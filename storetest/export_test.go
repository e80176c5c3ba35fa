package storetest

// RuleNames returns all rules as group/rule.
func RuleNames() []string {
	var names []string
	for _, g := range groups {
		for _, r := range g.rules {
			names = append(names, g.name+"/"+r.subtest())
		}
	}
	return names
}
