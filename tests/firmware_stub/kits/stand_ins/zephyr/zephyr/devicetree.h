/* SPDX-License-Identifier: BSD-3-Clause */
/* devicetree.h - a stand-in for Zephyr's, with the node of the sample: two lines. */
#ifndef STAND_IN_DEVICETREE_H
#define STAND_IN_DEVICETREE_H

#define DT_DRV_INST(index) rpmsg_gpio_node
#define DT_CHOSEN(name) name##_node
#define DT_REG_ADDR(node) 0x10040000u
#define DT_REG_SIZE(node) 0x10000u

#define STAND_IN_JOIN(node, property) node##_##property
#define DT_PROP(node, property) STAND_IN_JOIN(node, property)
#define DT_PROP_LEN(node, property) 2
#define STAND_IN_AT(node, property, index) node##_##property##_##index
#define DT_PROP_BY_IDX(node, property, index) STAND_IN_AT(node, property, index)
#define DT_FOREACH_PROP_ELEM(node, property, fn) fn(node, property, 0) fn(node, property, 1)
#define DT_FOREACH_PROP_ELEM_SEP(node, property, fn, separator) \
	fn(node, property, 0) STAND_IN_UNWRAP separator fn(node, property, 1)
#define STAND_IN_UNWRAP(...) __VA_ARGS__

#define rpmsg_gpio_node_label "stand-in"
#define rpmsg_gpio_node_gpio_line_names_0 "LED"
#define rpmsg_gpio_node_gpio_line_names_1 "BUTTON"

#endif
