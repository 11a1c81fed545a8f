#!/usr/bin/env python
# coding: utf-8

# # A small experiment
#
# Fit a curve with a tiny network.

# In[1]:


import torch
import torch.nn as nn


# In[2]:


torch.manual_seed(0)
x = torch.linspace(-3, 3, 200).unsqueeze(1)
y = torch.sin(x) + 0.1 * torch.randn_like(x)
x.shape


# In[3]:


net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
for step in range(40):
    loss = ((net(x) - y) ** 2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
loss.item()


# In[4]:


torch.save(net.state_dict(), "curve.pt")
