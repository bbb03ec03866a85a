package explain

// RuleOrigin gives, by the name that the control plane gives to a rule of a policy, the object that it comes from, as
// Part.Object, and the field; "" for other names.
func RuleOrigin(rule string) (object, field string) {
	p := rulePart(rule)
	return p.Object, p.Field
}
