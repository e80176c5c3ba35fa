package three // want package:"[0-9]+ keys"

import "example.com/vetted/two"

var Keys = two.Keys
